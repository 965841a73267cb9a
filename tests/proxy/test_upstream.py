from pathlib import Path

import pytest
import trustme

from authsome.errors import AuthsomeError
from authsome.proxy import upstream
from authsome.proxy.upstream import ParentProxy


def _pem(tmp_path: Path, name: str) -> tuple[str, str]:
    path = tmp_path / name
    trustme.CA(organization_name=name).cert_pem.write_to_path(path)
    return str(path), path.read_text().strip()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"])
def test_roots_that_the_parent_trusts_are_trusted_upstream(tmp_path: Path, variable: str) -> None:
    path, pem = _pem(tmp_path, "corporate")
    roots = upstream.read({variable: path}).roots
    assert roots.count(pem) == 1
    assert roots.count("BEGIN") == upstream.read({}).roots.count("BEGIN") + 1


def test_a_root_that_two_variables_name_is_there_once(tmp_path: Path) -> None:
    path, pem = _pem(tmp_path, "corporate")
    assert upstream.read({"SSL_CERT_FILE": path, "CURL_CA_BUNDLE": path}).roots.count(pem) == 1


def test_a_folder_of_roots_is_read(tmp_path: Path) -> None:
    _, pem = _pem(tmp_path, "a.pem")
    assert pem in upstream.read({"SSL_CERT_DIR": str(tmp_path)}).roots
    path, other = _pem(tmp_path, "b.crt")
    both = upstream.read({"SSL_CERT_DIR": f"/etc/ssl/certs:{tmp_path}", "SSL_CERT_FILE": path}).roots
    assert pem in both
    assert both.count(other) == 1


def test_a_variable_that_names_no_file_trusts_nobody(tmp_path: Path) -> None:
    assert upstream.read({"SSL_CERT_FILE": str(tmp_path / "none")}).roots == upstream.read({}).roots


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, ParentProxy("http", ("proxy.example", 3128))),
        ({"https_proxy": "proxy.example:3128"}, ParentProxy("http", ("proxy.example", 3128))),
        ({"ALL_PROXY": "https://proxy.example"}, ParentProxy("https", ("proxy.example", 443))),
        ({"HTTPS_PROXY": "http://me:p%40ss@p.example:1"}, ParentProxy("http", ("p.example", 1), "me:p@ss")),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_parents_proxy_is_read(environ: dict[str, str], proxy: ParentProxy | None) -> None:
    assert upstream.read(environ).proxy == proxy


@pytest.mark.parametrize("text", ["socks5://p.example:1080", "http://:x", "ftp://p.example", "http://p.example:99999"])
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password(text: str) -> None:
    with pytest.raises(AuthsomeError, match="cannot be used") as caught:
        upstream.read({"HTTPS_PROXY": text})
    assert text not in caught.value.message


def test_the_proxys_password_hides_from_repr() -> None:
    read = upstream.read({"HTTPS_PROXY": "http://me:CANARY@p.example:1"})
    assert "CANARY" not in repr(read)


@pytest.mark.parametrize(
    ("entries", "host", "straight"),
    [
        ("acme.example", "acme.example", True),
        ("acme.example", "api.acme.example", True),
        (".acme.example", "api.acme.example", True),
        ("*.acme.example", "api.acme.example", True),
        ("acme.example", "notacme.example", False),
        ("*", "anything.example", True),
        ("", "acme.example", False),
        ("ACME.example , other", "acme.EXAMPLE", True),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(entries: str, host: str, straight: bool) -> None:
    read = upstream.read({"HTTPS_PROXY": "http://p.example:1", "NO_PROXY": entries})
    assert (read.proxy_for(host) is None) is straight

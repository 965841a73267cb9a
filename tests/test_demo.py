import json

from conftest import CommandLine


def test_the_demo_shows_a_key_used_that_the_agent_never_had(authsome: CommandLine) -> None:
    done = authsome("demo", "--json")
    assert done.code == 0, done
    shown = json.loads(done.out)
    assert shown["proven"] is True
    assert shown["held"] == "authsome-proxy-managed"
    assert shown["received"] == f"Bearer {shown['key']}"
    assert not authsome.home.exists()


def test_the_demo_works_behind_a_company_proxy_and_with_keys_in_the_environment(authsome: CommandLine) -> None:
    authsome.env = {"HTTPS_PROXY": "http://127.0.0.1:9", "DEMO_API_KEY": "CANARY", "AUTHSOME_PROFILE": "work"}
    done = authsome("demo")
    assert done.code == 0, done
    assert "The agent used a key that it never had." in done.out


def test_the_demo_leaves_nothing_behind(authsome: CommandLine) -> None:
    folder = authsome.root / "temporary"
    folder.mkdir()
    authsome.env = {"TMPDIR": str(folder)}
    assert authsome("demo").code == 0
    assert list(folder.iterdir()) == []

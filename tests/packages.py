"""What the private index of the world has: one package, for pip and uv, for npm, and for cargo."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile

NAME = "acme-widgets"
_WHEEL = "acme_widgets-1.0-py3-none-any.whl"
_TARBALL = f"{NAME}-1.0.0.tgz"


def _wheel() -> bytes:
    about = "acme_widgets-1.0.dist-info"
    files = {
        "acme_widgets.py": "MADE_BY = 'acme'\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: acme\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _tarball() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        text = json.dumps({"name": NAME, "version": "1.0.0"}).encode()
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return gzip.compress(packed.getvalue(), mtime=0)


def _npm_document() -> bytes:
    digest = base64.b64encode(hashlib.sha512(_tarball()).digest()).decode()
    dist = {"tarball": f"https://packages.example/npm/{NAME}/-/{_TARBALL}", "integrity": f"sha512-{digest}"}
    version = {"name": NAME, "version": "1.0.0", "dist": dist}
    return json.dumps({"name": NAME, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode()


def content(path: str) -> bytes | None:
    """Return what the index has at a path, None for nothing."""
    return {
        f"/simple/{NAME}/": f'<!DOCTYPE html><a href="/simple/files/{_WHEEL}">{_WHEEL}</a>'.encode(),
        f"/simple/files/{_WHEEL}": _wheel(),
        f"/npm/{NAME}": _npm_document(),
        f"/npm/{NAME}/-/{_TARBALL}": _tarball(),
        "/cargo/config.json": b'{"dl": "https://packages.example/cargo/dl", "api": "https://packages.example/cargo"}',
        "/cargo/api/v1/crates": b'{"crates": [], "meta": {"total": 0}}',
    }.get(path)


IMAGE = "acme/widgets"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _described(kind: str, content: bytes) -> dict[str, object]:
    """Return how one thing names another (OCI image specification 1.1, descriptors)."""
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def image(path: str) -> tuple[str, bytes] | None:
    """Return what a registry has at a path and its media type: one image with a layer."""
    layer = _tarball()
    unpacked = hashlib.sha256(gzip.decompress(layer)).hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{unpacked}"]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    configured = _described("application/vnd.oci.image.config.v1+json", config)
    layers = [_described("application/vnd.oci.image.layer.v1.tar+gzip", layer)]
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": configured, "layers": layers}
    written = json.dumps(manifest).encode()
    blobs = {configured["digest"]: config, layers[0]["digest"]: layer}
    things = {
        "/v2/": ("application/json", b"{}"),
        f"/v2/{IMAGE}/manifests/latest": (_MANIFEST, written),
        **{f"/v2/{IMAGE}/blobs/{digest}": ("application/octet-stream", blob) for digest, blob in blobs.items()},
    }
    return things.get(path)

"""The table in `docs/providers.md`, made from the definitions: `uv run python tests/catalogue_page.py` writes it."""

from collections.abc import Iterator
from pathlib import Path

from authsome.provider import Catalogue, Placement, Provider

PAGE = Path(__file__).parent.parent / "docs" / "providers.md"
BEGIN, END = "<!-- made by tests/catalogue_page.py -->\n\n", "\n<!-- end -->\n"
HEAD = (
    "| name | service | where the key goes | hosts | variables | where to get a key |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)
MANY = 8


def made(page: str) -> str:
    """Return the page with the table of today."""
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:begin] + HEAD + "".join(map(_row, Catalogue(None).usable())) + page[end:]


def _row(provider: Provider) -> str:
    hosts = list(map(str, provider.hosts))
    cells = [
        f"`{provider.name}`",
        provider.display_name,
        "; ".join(_place(provider, each) for each in provider.placements) + _by(provider),
        ", ".join(hosts) if len(hosts) <= MANY else f"{hosts[0]} and {len(hosts) - 1} more of {provider.display_name}",
        ", ".join(f"`{variable}`" for variable in provider.env),
        f"<{provider.keys_url}>" if provider.keys_url else "",
    ]
    return "".join(f"| {cell} " if cell else "| " for cell in (each.replace("|", "\\|") for each in cells)) + "|\n"


def _by(provider: Provider) -> str:
    return ", by OAuth" if provider.auth_type == "oauth2" else ""


def _place(provider: Provider, place: Placement) -> str:
    text = " and ".join(f"`{each}`" for each in _spots(provider, place))
    if place.when:
        text += f" if the key matches `{place.when[1].pattern}`"
    if set(place.hosts) != set(provider.hosts):
        text += f" to {', '.join(sorted(map(str, place.hosts)))}"
    return text + (f" at {', '.join(f'`{path}`' for path in place.paths)}" if place.paths else "")


def _spots(provider: Provider, place: Placement) -> Iterator[str]:
    only = {"access_token": "token"}.get(provider.key.name, "key") if len(provider.fields) == 1 else None
    shown = {each.name: f"<{only or each.name}>" for each in provider.fields}
    for name, value in place.headers:
        filled = value if isinstance(value, str) else ":".join(value)
        for field, said in shown.items():
            filled = filled.replace(f"{{{field}}}", said)
        yield f"{name}: {filled}" if isinstance(value, str) else f"Basic {filled}"
    for name, value in place.query:
        yield f"?{name}={shown[value[1:-1]]}"
    if place.sigv4:
        yield "Authorization: AWS4-HMAC-SHA256 …"
    if place.path:
        path = place.path
        for field, said in shown.items():
            path = path.replace(f"{{{field}}}", said)
        yield path


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))

"""What is found by the words people have for it."""

import pytest

from authsome import search
from authsome.provider import Catalogue
from authsome.search import find, topics

CATALOGUE = tuple(Catalogue(None).usable())


def _names(asked: str) -> list[str]:
    return [hit.provider.name for hit in find(asked, CATALOGUE)]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("openai", ["openai"]),
        ("OpenAI", ["openai"]),
        ("OPENAI_API_KEY", ["openai"]),
        ("api.openai.com", ["openai"]),
        ("https://api.openai.com/v1/models?key=x", ["openai"]),
        ("hugging face", ["huggingface"]),
        ("git", ["github", "gitlab", "bitbucket"]),
        ("x", ["x"]),
        ("mail", ["mailchimp", "mailgun"]),
        ("google", ["google"]),
        ("gemini", ["google-gemini"]),
    ],
)
def test_the_best_is_first(asked: str, first: list[str]) -> None:
    assert _names(asked)[: len(first)] == first


@pytest.mark.parametrize(
    ("asked", "some"),
    [
        ("mail", {"sendgrid", "postmark", "resend", "brevo", "mailgun"}),
        ("emails", {"sendgrid", "mailgun"}),
        ("text to speech", {"elevenlabs", "openai"}),
        ("web search", {"exa", "serper", "tavily"}),
        ("payment", {"stripe", "square"}),
        ("ai", {"openai", "cohere"}),
        ("dev", {"github"}),
        ("sql database", {"neon", "supabase"}),
        ("error monitoring", set()),
        ("crm", {"hubspot"}),
    ],
)
def test_ordinary_words_find_what_does_it(asked: str, some: set[str]) -> None:
    assert some <= set(_names(asked))


@pytest.mark.parametrize(
    "asked", ["", " ", "api", "key", "com", "https://", "xyzzy", "openai github", "\0", "(", "🙂", "/"]
)
def test_what_says_nothing_finds_nothing(asked: str) -> None:
    assert _names(asked) == []


def test_every_bundled_provider_is_found_by_its_names_and_by_what_it_is_for() -> None:
    topical = " ".join(search._TOPICS.values()).split()  # noqa: SLF001  the table itself
    for each in CATALOGUE:
        assert _names(each.name)[0] == each.name
        facts = (each.name, each.display_name, *each.env, *map(str, each.hosts), *each.packages)
        assert _names(" ".join(facts)) == [each.name]
        assert each.name in topical, f"say in `search` what {each.name} is for"
    assert "mail" in topics()

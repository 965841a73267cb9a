"""Definitions by what people call a service: its name, its hosts, its variables, its packages, what it is for.

Promises that every word that is looked for is found in each answer, the best answer first, and that two searches for
the same give the same. Refuses to find what every definition has: `api`, `key`, `com`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from authsome.provider import Provider

_WORD = re.compile(r"[a-z0-9]+")
_EVERYWHERE = frozenset(
    [
        *("api", "key", "keys", "token", "tokens", "access", "secret", "auth", "id", "url"),
        *("www", "app", "com", "io", "net", "org", "dev", "co", "ai", "http", "https", "pypi", "npm", "python"),
    ]
)
"""Parts of hosts, variables and packages that tell nothing."""
_TOPICS = {
    "llm model models chat completion completions inference generative": (
        "anthropic azure-openai bedrock cerebras cohere deepinfra deepseek fireworks google-gemini groq huggingface "
        "mistral moonshot nvidia openai openrouter perplexity replicate together xai"
    ),
    "embedding embeddings rerank": "cohere google-gemini huggingface jina mistral nvidia openai voyage",
    "vector database embeddings retrieval": "pinecone qdrant weaviate",
    "image images picture generation": "fal google-gemini openai replicate stability",
    "text speech voice audio transcription tts": "assemblyai deepgram elevenlabs groq openai",
    "web search scraping crawler serp": (
        "apify brave-search browserbase exa firecrawl jina perplexity serpapi serper tavily"
    ),
    "browser sandbox automation": "browserbase e2b",
    "tracing evaluation observability": "langfuse langsmith",
    "mail email newsletter smtp": (
        "beehiiv brevo instantly klaviyo klaviyo-oauth lemlist mailchimp mailgun postmark resend sendgrid"
    ),
    "sms phone message messaging chat": "discord intercom slack telegram twilio",
    "payment payments billing invoice subscription card bank banking": "paypal plaid quickbooks square stripe",
    "affiliate referral": "mention-me rewardful tolt",
    "crm sales contacts leads prospecting": "apollo clearbit front hubspot hunter instantly lemlist salesforce",
    "support helpdesk tickets": "freshdesk front helpscout intercom zendesk",
    "calendar scheduling meeting booking": "calendly google savvycal zoom",
    "forms form survey": "typeform",
    "hiring recruiting ats": "ashby greenhouse lever",
    "issues tracker project task tasks todo": "asana atlassian clickup github gitlab jira linear monday todoist trello",
    "notes wiki documents docs": "notion",
    "git repository code": "bitbucket github gitlab",
    "ci build pipeline": "circleci github gitlab",
    "registry packages package containers": "dockerhub github gitlab npm pypi",
    "hosting deploy deployment paas": "digitalocean fly heroku netlify render vercel",
    "cloud storage compute": "aws cloudflare digitalocean google",
    "sql postgres database spreadsheet": "airtable neon supabase supabase-project",
    "dns cdn domain": "cloudflare netlify vercel",
    "monitoring metrics logs alerts incident errors": "datadog newrelic pagerduty sentry",
    "analytics events product": "amplitude mixpanel optimizely posthog segment",
    "seo keywords backlinks": "ahrefs keywords-everywhere semrush",
    "search index": "algolia",
    "login identity sso": "auth0 okta",
    "shop ecommerce store orders": "shopify square",
    "social posts publishing": "buffer linkedin postiz reddit x youtube",
    "music": "spotify",
    "files documents drive": "box dropbox google microsoft",
    "office calendar mail": "google microsoft",
    "workflow automation": "apify zapier",
    "accounting bookkeeping": "quickbooks xero",
    "video webinar": "livestorm wistia youtube zoom",
    "map maps geocoding": "mapbox",
    "weather forecast": "openweathermap",
    "stocks finance market prices": "alphavantage polygon",
    "design": "figma",
    "reviews": "g2",
    "links shortener url": "dub",
    "testing rest": "postman",
}
"""What people say for what services do → those that do it. A definition says only how its service is reached."""

_SMALL = frozenset(["a", "an", "and", "the", "for", "of", "or", "to", "with"])
"""What a question has and no answer."""

_EXACT, _PART, _BEGINS, _INSIDE = 100, 60, 40, 20
_NAME, _FACT, _TOPIC = 3, 2, 1
_SHORTEST = 3
"""Two letters begin too much."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A provider that fits.

    Attributes:
        matches: What of it was found, the best first: names, variables, hosts, packages, the category, or a word for
            what it does.
    """

    provider: Provider
    score: int
    matches: tuple[str, ...]


def find(asked: str, providers: Iterable[Provider]) -> tuple[Hit, ...]:
    """Return the providers that fit every word of `asked`, the best first, then by name."""
    words = tuple(dict.fromkeys(each for each in _words(asked) if each))
    if not words:
        return ()
    hits = [hit for each in providers if (hit := _hit(each, words))]
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.provider.name)))


def topics() -> frozenset[str]:
    """Return what can be looked for beside names."""
    return frozenset(word for topic in _TOPICS for word in topic.split())


def _words(asked: str) -> Iterator[str]:
    """Yield what is looked for; of an address its host."""
    words = [re.sub(r"^[a-z]+://([^/?#]*).*", r"\1", each).strip("/().,;:…") for each in asked.lower().split()]
    yield from [each for each in words if each not in _SMALL | _EVERYWHERE] or words


def _hit(provider: Provider, words: tuple[str, ...]) -> Hit | None:
    facts = tuple(_facts(provider))
    best = [max(((_score(word, *fact) * fact[1], fact[0]) for fact in facts), default=(0, "")) for word in words]
    if not all(score for score, _ in best):
        return None
    best.sort(reverse=True)
    return Hit(provider, sum(score for score, _ in best), tuple(dict.fromkeys(text for _, text in best)))


def _facts(provider: Provider) -> Iterator[tuple[str, int]]:
    """Yield what a provider can be found by, and how much that counts."""
    yield provider.name, _NAME
    yield provider.display_name, _NAME
    yield from ((text, _FACT) for text in (*provider.env, *map(str, provider.hosts), *provider.packages))
    if provider.category:
        yield provider.category, _TOPIC
    yield from ((word, _TOPIC) for word in _purposes().get(provider.name, ()))


@cache
def _purposes() -> dict[str, list[str]]:
    """Return what each provider does, in people's words."""
    found: dict[str, list[str]] = {}
    for topic, names in _TOPICS.items():
        for name in names.split():
            found.setdefault(name, []).extend(topic.split())
    return found


def _score(word: str, text: str, weight: int) -> int:
    """Return how well a word is found in a text, 0 for not at all."""
    text = text.lower()
    if word in (text, text.partition(":")[2]) or word == f"{text}s":  # the package in `pypi:NAME`; a plural
        return _EXACT
    parts = [part for part in _WORD.findall(text) if part not in _EVERYWHERE]
    if word in parts:
        return _PART
    if word in _EVERYWHERE or len(word) < _SHORTEST:
        return 0
    if any(part.startswith(word) for part in parts):
        return _BEGINS
    # A piece of a variable or of a host is one if it looks like it, as in `openai.com`.
    return _INSIDE if word in text and (weight == _NAME or not word.isalnum()) else 0

"""A provider as the rest of the program reads it: complete, and checked."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

from authsome.provider import shapes
from authsome.provider.definition import TestRequest
from authsome.provider.names import SLOT, Host, placeholder
from authsome.provider.oauth import OAuth, filled
from authsome.provider.placement import Placement


class Part(NamedTuple):
    """Where a setting is read.

    Attributes:
        source: A field, a member of the token response (RFC 6749, 5.1), or a parameter of the redirect (4.1.2).
        pattern: What finds it there: the one group.
        of: Which of these it is.
    """

    source: str
    pattern: re.Pattern[str]
    of: Literal["field", "response", "redirect"] = "field"


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a connection: what it looks like and which variables clients read it from.

    Attributes:
        label: What it is called where somebody is asked for it.
        secret: Whether it is hidden, from whoever looks on and from the agent.
        default: What holds where nobody says otherwise.
        example: A value as it may look.
        value: What it is made of, in place of being asked for.
        derive: What it is part of, in place of being asked for.
        shape: What the agent holds instead looks like this (see `shapes`); None for the ordinary placeholder.
        optional: Whether a connection may do without it.
    """

    name: str
    pattern: re.Pattern[str] | None
    hint: str | None
    env: tuple[str, ...]
    label: str = "API key"
    secret: bool = True
    default: str | None = None
    example: str | None = None
    value: str | None = None
    derive: Part | None = None
    shape: str | None = None
    optional: bool = False

    @property
    def asked(self) -> bool:
        """Whether somebody gives it."""
        return self.value is None and self.derive is None

    @property
    def needed(self) -> bool:
        """Whether nothing goes without somebody having given it."""
        return self.asked and self.default is None and not self.optional

    @property
    def kept(self) -> bool:
        """Whether it is stored: what is made of others is made anew each time."""
        return self.value is None or not SLOT.search(self.value)


@dataclass(frozen=True)
class Provider:
    """One service, ready to be acted on.

    Attributes:
        oauth: How its tokens are come by, None for a provider that has none.
        template: What it was filled from, None if it was not.
        settings: With which it was filled, with the defaults and what is made of them.
    """

    name: str
    display_name: str
    auth_type: str
    hosts: tuple[Host, ...]
    fields: tuple[Field, ...]
    placements: tuple[Placement, ...]
    constant_headers: tuple[tuple[str, str], ...] = ()
    keys_url: str | None = None
    docs: str | None = None
    private_addresses: bool = False
    test: TestRequest | None = None
    flow: str = "api_key"
    oauth: OAuth | None = field(default=None, hash=False)
    packages: tuple[str, ...] = ()
    category: str | None = None
    template: "Provider | None" = field(default=None, compare=False, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def env(self) -> Mapping[str, str]:
        """Environment variable → field, in the order of the definition."""
        return {name: each.name for each in self.fields for name in each.env}

    @cached_property
    def key(self) -> Field:
        """The field that tells one credential from another: the first secret."""
        return next(each for each in self.fields if each.secret)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The hosts as text, sorted: what a person agrees to when giving a secret."""
        return tuple(sorted(str(host) for host in self.hosts))

    @property
    def is_open(self) -> bool:
        """Whether settings are still missing of one of its hosts."""
        return any(host.is_open for host in self.hosts)

    @cached_property
    def with_tokens(self) -> "Provider":
        """The provider for a connection of tokens, where it also takes keys; itself if it has no tokens, or only them.

        Settings count anew: see `filled`.
        """
        made = self.as_written
        if made.oauth is None or made.auth_type == "oauth2":
            return self
        # A setting may have been given with an address meanwhile, see `at`; and none is read out of a key.
        settings = {each.name: each for each in made.fields if not each.secret}
        fields = tuple(
            replace(settings[each.name], derive=each.derive and settings[each.name].derive)
            if each.name in settings
            else each
            for each in made.oauth.fields
        )
        return replace(made, auth_type="oauth2", fields=fields, placements=made.oauth.placements)

    @cached_property
    def as_written(self) -> "Provider":
        """The provider with the slots that its definition has."""
        return self.template or self

    def settled(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the settings of a connection: those that were given, the defaults, and what is made of them."""
        found = {each.name: each.default for each in self.fields if each.default is not None}
        found |= {each.name: given[each.name] for each in self.fields if not each.secret and each.name in given}
        for each in self.fields:
            if each.value is not None and all(slot in found for slot in SLOT.findall(each.value)):
                found[each.name] = SLOT.sub(lambda slot: found[slot[1]], each.value)
        return found

    def filled(self, given: Mapping[str, str]) -> "Provider":
        """Return the provider of a connection with these settings; a host that they make none of stays open."""
        made = self.as_written
        settings = made.settled(given)
        return replace(
            made,
            hosts=tuple(dict.fromkeys(host.filled(settings) for host in made.hosts)),
            placements=tuple(place.filled(settings) for place in made.placements),
            oauth=made.oauth and _tokens_filled(made.oauth, settings),
            template=made,
            settings=settings,
        )

    def with_defaults(self, settings: Mapping[str, str]) -> "Provider":
        """Return the provider for a connection that had these settings: they hold where nobody says otherwise."""
        made = self.as_written
        fields = tuple(
            replace(each, default=settings[each.name])
            if each.asked and not each.secret and each.name in settings and has_form(each, settings[each.name])
            else each
            for each in made.fields
        )
        return replace(made, fields=fields).filled({})

    def at(self, address: str) -> "Provider":
        """Return the provider for one address, as in `https://acme.example.com`; raise `ValueError` if it is none."""
        made = self.as_written
        open_hosts = [host for host in made.hosts if host.slots]
        if not open_hosts:
            raise ValueError(f"{made.display_name} has the same address for all: {', '.join(made.host_names)}")
        found = next((values for host in open_hosts if (values := host.read(address))), {})
        wrong = [each for each in made.fields if each.name in found and not has_form(each, found[each.name])]
        if not found or wrong:
            shown = ", ".join(f"https://{host}" for host in open_hosts)
            raise ValueError(f"{ascii(address)} is no address of {made.display_name}; one looks like {shown}")
        fields = tuple(
            replace(each, value=found[each.name], default=None, derive=None) if each.name in found else each
            for each in made.fields
        )
        return replace(made, fields=fields).filled({})

    def read(self, name: str, text: str) -> str:
        """Return the setting in what somebody gave for it: an address of the provider holds it as well."""
        found = (values for host in self.as_written.hosts if name in (values := host.read(text)))
        return next(found, {name: text})[name]

    def derived(self, given: Mapping[str, str], *, response: bool = False, redirect: bool = False) -> Mapping[str, str]:
        """Return the settings that are part of what was given; raise `ValueError` where one is not in it.

        Args:
            given: The fields; or the texts of a token response, or of the redirect, to which no setting may be missing.
        """
        of = "response" if response else "redirect" if redirect else "field"
        made = {}
        left = dict.fromkeys(given, MOST_DERIVED)
        tokens = [text for name, text in given.items() if response and name.endswith("token")]
        for each in self.fields:
            part = each.derive
            if part and part.of == of and (part.source in given or of == "redirect"):
                found = part.pattern.search(given.get(part.source, ""))
                shown = found[1] if found else None
                # NOTE: all together. Each of several could show another part, until nothing of a secret is hidden.
                too_much = of == "field" and shown is not None and len(shown) > left[part.source]
                # A provider may say a token by another name as well.
                too_much |= shown is not None and len(shown) > MOST_DERIVED and any(shown in each for each in tokens)
                if not shown or too_much or not has_form(each, shown):
                    raise ValueError(f"there is no {each.label} in it")
                made[each.name] = shown
                left[part.source] = left.get(part.source, 0) - len(shown)
        return made

    def stand_in(self, connection: str, name: str) -> str:
        """Return what the agent holds instead of a secret of a connection."""
        shape = next((each.shape for each in self.fields if each.name == name), None)
        made = shapes.filled(shape, (self.name, connection, name), self.settings) if shape else None
        return made or placeholder(connection)

    def stand_ins(self, connection: str) -> Mapping[str, str]:
        """Return what the agent holds instead of the secrets of a connection, where that has a form of its own."""
        made = {each.name: self.stand_in(connection, each.name) for each in self.fields if each.shape is not None}
        return {name: text for name, text in made.items() if text != placeholder(connection)}

    def beyond(self, agreed: Iterable[str]) -> tuple[str, ...]:
        """Return the hosts that a person who agreed to these ones did not agree to, sorted."""
        return tuple(sorted(set(self.host_names) - set(agreed)))


def _tokens_filled(oauth: OAuth, settings: Mapping[str, str]) -> OAuth:
    """Return how tokens are come by with these settings; addresses that they make none of stay open."""
    asks = oauth.asks
    with suppress(ValueError):
        asks = filled(asks, settings)
    return replace(oauth, asks=asks, placements=tuple(place.filled(settings) for place in oauth.placements))


MOST_DERIVED = 12
"""Characters of a secret that settings may show, all of them together."""


def has_form(field: Field, text: str) -> bool:
    """Whether a value looks like one of a field."""
    return field.pattern is None or field.pattern.fullmatch(text) is not None

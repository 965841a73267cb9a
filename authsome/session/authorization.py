"""One connection's way to tokens: what a person is asked for, where they agree, and what is stored then.

Promises that an application is stored only after it has got tokens, that a connection which asks for more keeps what it
has, and that tokens are stored before they are used. Refuses to ask for what the environment or the vault already says.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from authsome import pasted
from authsome.bridge import Answer, Blank, Question
from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Declared, login_command
from authsome.oauth import (
    BY_PERSON,
    OF_APPLICATION,
    REDIRECTED,
    SIGNED,
    AuthorizationRequest,
    Client,
    DeniedError,
    DeviceAuthorization,
    Tokens,
    asked,
    kept,
)
from authsome.provider import CLIENT, Field, Host, OAuth, Provider
from authsome.vault import Entry, Vault

if TYPE_CHECKING:
    from authsome.oauth.login import Login
    from authsome.session.intake import Ways

KEPT_BY_DEFAULT = frozenset({"offline_access", "offline.access", "offline", "refresh_token"})
"""Scopes without which nothing can be renewed (OpenID Connect Core, 11, and what others call it): where a provider's
definition asks for one, so does a manifest that names others."""


type _Step = Tokens | AuthorizationRequest | DeviceAuthorization


class Authorization:
    """The login of one connection.

    Args:
        wanted: With the provider as its definition has it, or for one address.
        before: The entry that is replaced.
        known: Finds all providers, to tell whose key something is.
    """

    def __init__(
        self,
        wanted: Declared,
        before: Entry | None,
        vault: Vault,
        ways: "Ways",
        known: Callable[[], Iterable[Provider]],
    ) -> None:
        from authsome.oauth import flows  # noqa: PLC0415  whoever asks for keys alone needs none of it

        if wanted.provider.oauth is None:
            raise AuthsomeError(
                f"{wanted.provider.display_name} has no login with OAuth, it takes a key",
                hint=f"authsome login {wanted.provider.name}",
                code=ExitCode.USAGE,
            )
        self._wanted, self._before, self._vault, self._ways, self._known = wanted, before, vault, ways, known
        self._provider = wanted.provider.with_tokens
        self._oauth = _oauth_of(self._provider.filled({}))  # with the addresses that there are if nobody says otherwise
        had = before.grant if before else None
        usual = had.flow if had else self._provider.flow
        self.flow = flows.choose(
            self._oauth,
            usual,
            ways.flow,
            # A login that is done again goes the way that its application is known to go; it may know no other.
            browser=had is not None or ways.browser(),
            name=self._provider.display_name,
            command=login_command(self._provider.name, wanted.connection),
        )
        self._kept_for: frozenset[str] | None = None
        if self._oauth.asks.https_redirect and self.flow in REDIRECTED:  # before anybody types anything
            raise AuthsomeError(
                f"{self._provider.display_name} sends people back to an https address only, and this machine has none",
                hint=f"make a token on its own page, which `authsome login {self._provider.name}` asks for",
                code=ExitCode.USAGE,
            )
        self._held = self._application()
        self._login: Login | None = None
        self._settled: Provider = self._provider
        self._extra: Mapping[str, str] = {}
        self._tokens: Tokens | None = None
        self._returned: str | None = None

    def _application(self) -> Client | None:
        """Return the application that the environment names, or the profile has kept."""
        if found := asked.environ_client(self._oauth, self._ways.environ):
            return found
        # NOTE: kept for the hosts that it was given for. A definition that names another one asks anew.
        there = (pair for pair in self._applications() if _token_hosts(self._oauth) <= pair[1])
        if (found_there := next(there, None)) is None:
            return None
        client, self._kept_for = found_there
        return None if client.expires_at is not None and client.expires_at <= self._ways.clock() else client

    def _applications(self) -> tuple[tuple[Client, frozenset[str]], ...]:
        entry = self._vault.own.read(self._provider.name, CLIENT) if self._vault.own.exists else None
        return kept.applications(entry) if entry else ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """What is asked for: what was named, what the manifest says or the usual, and what is held already."""
        usual = self._oauth.asks.scopes
        named = self._ways.scopes or self._wanted.scopes
        if self.flow == "app_installation":  # all that it is installed for, unless less is named
            return tuple(dict.fromkeys(named))
        wanted = (*named, *(each for each in usual if each in KEPT_BY_DEFAULT)) if named else usual
        had = self._before.grant.scopes if self._before and self._before.grant else ()
        return tuple(dict.fromkeys((*wanted, *had)))

    @property
    def flows(self) -> tuple[str, ...]:
        """The flows that need nobody's consent."""
        return tuple(each for each in self._oauth.asks.flows if each not in BY_PERSON)

    @property
    def alone(self) -> bool:
        """Whether it needs no person: nothing is to be agreed to, and nothing to be filled in."""
        return self.flow not in BY_PERSON and not self._ways.anew and not any(each.needed for each in self.asked)

    @property
    def asked(self) -> tuple[Field, ...]:
        """What has to be filled in: the provider's settings, then what the flow needs."""
        settings = tuple(each for each in self._provider.fields if each.asked and not each.secret)
        if self.flow in SIGNED or not (self._ways.anew and self._held):
            return (*settings, *asked.asked_for(self._oauth, self.flow, self._held, self._ways.environ))
        # What is left as it is goes on being used.
        own = asked.asked_for(self._oauth, self.flow, None, self._ways.environ)
        return (*settings, *(_as_held(each, self._held) for each in own))

    def question(self) -> Question:
        """Return what a person is asked."""
        provider = self._provider
        return Question(
            provider=provider.name,
            display_name=provider.display_name,
            connection=self._wanted.connection,
            required=self._wanted.required,
            why=self._wanted.why,
            scopes=self.scopes,
            hosts=provider.filled({}).host_names,
            new_hosts=self._before.of(provider).beyond(self._before.hosts) if self._before else (),
            keys_url=provider.docs,
            blanks=tuple(
                Blank(each.name, _label(each), masked=each.secret, default=each.default, optional=each.optional)
                for each in self.asked
            ),
            flow=self.flow,
            command=self._ways.command,
            whither=self._whither,
        )

    def _whither(self, given: Mapping[str, str]) -> tuple[str, ...]:
        return self._provider.filled(self._settings(given, some=True)).host_names

    def _settings(self, given: Mapping[str, str], *, some: bool = False) -> dict[str, str]:
        """Return the provider's settings, each as it may be stored.

        Args:
            some: Leave out what was not given yet.
        """
        found = {}
        for each in self._provider.fields:
            if each.asked and not each.secret and not (some and each.name not in given):
                said = given.get(each.name, "")
                said = said if said.strip() or each.default is None else each.default
                found[each.name] = pasted.check(self._provider, said, each, others=self._known)
        return found

    def take(self, answer: Answer) -> _Step:
        """Go one step: to the provider, or back from it with tokens, which are then to be stored."""
        if self._tokens is not None and pasted.REFUSED in answer.accepted:
            return self._tokens
        if self._login is None or not (answer.polls or answer.returned):
            return self._begun(answer)
        try:
            made = self._login.poll() if answer.polls else self._login.returned(answer.returned or "")
            self._returned = answer.returned
        except DeniedError as error:
            raise self._explained(error) from None
        return self._noted(made)

    def _begun(self, answer: Answer) -> _Step:
        from authsome.oauth.login import Login  # noqa: PLC0415  as above

        self._tokens = self._returned = None
        given = self._settings(answer.fields)
        self._settled = self._provider.filled(given)
        self._oauth = _oauth_of(self._settled)
        own = {name: text for name, text in answer.fields.items() if name not in given}
        held = self._held_there()
        told = self._told(own, held)
        kept_on = None if self._ways.anew else held
        client = asked.client_given(self._oauth, self.flow, told, kept_on, self._ways.environ, page=self._provider.docs)
        self._extra = {**given, **(client.more if self.flow in SIGNED else {})}
        self._login = Login(
            self._oauth,
            self.flow,
            self.scopes,
            client if client.client_id else None,  # one that registers itself has none yet
            self._ways.transport(self._settled),
            clock=self._ways.clock,
            token=self._ways.token,
        )
        try:
            return self._noted(self._login.begin(answer.redirect_uri))
        except DeniedError as error:
            raise self._explained(error) from None

    def _held_there(self) -> Client | None:
        """Return the application that is known, if it was given for the address that was filled in.

        Raises (exit code 2) where it was not, and nobody was asked for another one.
        """
        if self._held is None or self._kept_for is None:
            return self._held
        strange = sorted(_token_hosts(self._oauth) - self._kept_for)
        if not strange:
            return self._held
        if self.flow in SIGNED or self.flow == "dcr_pkce" or self._ways.anew:
            return None
        again = login_command(self._provider.name, self._wanted.connection)
        raise AuthsomeError(
            f"the application that is kept for {self._provider.name} was not given for {', '.join(strange)}",
            hint=f"{again} --force, and give the one that is known there",
            code=ExitCode.USAGE,
        )

    def _told(self, own: Mapping[str, str], held: Client | None) -> dict[str, str]:
        """Return what was filled in for the flow: what was left as it is, as it was."""
        known = _said(held) if self._ways.anew and held else {}
        return {**known, **{name: text for name, text in own.items() if text.strip()}}

    def _noted(self, made: _Step) -> _Step:
        if isinstance(made, Tokens):
            self._tokens = made
        return made

    def _explained(self, error: DeniedError) -> DeniedError:
        """Return the error of a stored application with how to replace it."""
        if error.error in OF_APPLICATION and self._held is not None and not self._ways.anew:
            error.hint = f"to give another application: {self.question().again} --force"
        return error

    @property
    def settled(self) -> Provider:
        """The provider with the settings of this connection, those that it has told itself among them."""
        if self._tokens is None:
            return self._settled
        try:
            derived = {**self._settled.derived(self._tokens.said, response=True)}
            if self._returned is not None:
                _, _, query = self._returned.rpartition("?")  # of an address, or all of it
                said = dict(parse_qsl(query.partition("#")[0]))
                derived |= self._settled.derived(said, redirect=True)
            made = self._settled.filled({**self._settled.settings, **derived})
            if made.is_open:
                raise ValueError("the host is missing")  # noqa: TRY301  as what is in the answer, and not what it should be
        except ValueError as error:
            raise AuthsomeError(
                f"{self._settled.display_name} did not say all that its tokens are used with: {error}",
                hint="nothing was stored; start again",
                code=ExitCode.REFUSED,
            ) from None
        return made

    def fields(self, tokens: Tokens) -> dict[str, str]:
        """Return what is shown to the provider to try the tokens; secret."""
        return {**self.settled.settings, kept.ACCESS: tokens.access_token}

    def store(self, tokens: Tokens) -> None:
        """Write the application that has got the tokens, and the tokens."""
        provider, now = self.settled, self._ways.clock()
        shown = {name: text for name, text in provider.settings.items() if _is_kept(provider, name)}
        client = (self._login.client if self._login else None) or Client("")
        fields, grant = kept.kept(
            tokens,
            None,
            flow=self.flow,
            hosts=_token_hosts(_oauth_of(provider)),
            asked=self.scopes,
            now=now,
            extra={**self._extra, **shown},
        )
        self._keep_application(client, provider, now)
        grant = replace(grant, client_id=client.client_id or None)
        self._vault.write(provider, self._wanted.connection, fields, now, grant=grant)

    def _keep_application(self, client: Client, provider: Provider, now: float) -> None:
        if not client.client_id or self.flow in SIGNED:
            return
        known = self._applications()
        # One that is known already may be so at the addresses of several connections.
        hosts = _token_hosts(_oauth_of(provider)).union(*(hosts for each, hosts in known if _is(each, client)))
        others = [(each, hosts) for each, hosts in known if not _is(each, client)]
        of_application = replace(provider, hosts=tuple(map(Host.parse, sorted(hosts))), fields=())
        self._vault.own.write(of_application, CLIENT, kept.applications_fields(client, others), now)


def _is(one: Client, other: Client) -> bool:
    return one.client_id == other.client_id


def _is_kept(provider: Provider, name: str) -> bool:
    return any(each.name == name and each.kept and not each.secret for each in provider.fields)


def _as_held(field: Field, held: Client) -> Field:
    """Return a field of the application that may be left as it is."""
    if field.secret:
        return replace(field, optional=True, label=f"{field.label}, if it is another one")
    return replace(field, default=_said(held).get(field.name, field.default))


def _said(held: Client) -> dict[str, str]:
    """Return what was given for an application, by the names of the fields; secret."""
    return {**kept.client_fields(held), **held.more}


def _label(field: Field) -> str:
    return f"{field.label} (for example {field.example})" if field.example else field.label


def _oauth_of(provider: Provider) -> OAuth:
    if provider.oauth is None:
        raise ValueError(f"{provider.name} has no tokens")
    return provider.oauth


def _token_hosts(oauth: OAuth) -> frozenset[str]:
    return oauth.token_hosts

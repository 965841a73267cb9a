"""How one service authenticates, and to which hosts its credential may go.

Promises that a `Provider` is complete and safe to act on: every host is an exact name and port, every header is a legal
field name, every template uses fields that exist. Refuses a definition that could send a credential somewhere its
author did not name: patterns for hosts, plain `http`, control characters, placements without a host. The same holds for
the addresses from which its tokens come.

A definition is a JSON file: bundled with the program, put into `<home>/providers/` by its user, or brought along by a
project. The user's wins, and a project's counts only where it is trusted (see `trust`).
"""

from authsome.provider.catalogue import Catalogue, Source, bundled, load, read
from authsome.provider.definition import (
    CATEGORIES,
    AlsoDefinition,
    ApiKey,
    AppInstallationDefinition,
    BasicDefinition,
    ClientCredentialsDefinition,
    ClientDefinition,
    Definition,
    DeriveDefinition,
    Export,
    FieldDefinition,
    Flow,
    InjectDefinition,
    JwtBearerDefinition,
    OAuthDefinition,
    RevocationDefinition,
    SigV4Definition,
    TestRequest,
)
from authsome.provider.mistakes import MistakeError
from authsome.provider.names import (
    CLIENT,
    DEFAULT_CONNECTION,
    NAME,
    PLACEHOLDER,
    READ_BY_PROGRAMS,
    SECRETIVE,
    SLOT,
    TOKEN,
    VARIABLE,
    Host,
    check_entry,
    check_name,
    covered,
    placeholder,
)
from authsome.provider.oauth import LATER, PERSONS_PAGE, SCOPE, TOKENS, OAuth, endpoints, hosts as oauth_hosts
from authsome.provider.placement import SIGNATURE_HEADERS, SIGNATURE_QUERY, Placement, Signing, Spot, Value, matches
from authsome.provider.reading import resolve
from authsome.provider.resolved import Field, Provider
from authsome.provider.shapes import mentions

__all__ = [
    "CATEGORIES",
    "CLIENT",
    "DEFAULT_CONNECTION",
    "LATER",
    "NAME",
    "PERSONS_PAGE",
    "PLACEHOLDER",
    "READ_BY_PROGRAMS",
    "SCOPE",
    "SECRETIVE",
    "SIGNATURE_HEADERS",
    "SIGNATURE_QUERY",
    "SLOT",
    "TOKEN",
    "TOKENS",
    "VARIABLE",
    "AlsoDefinition",
    "ApiKey",
    "AppInstallationDefinition",
    "BasicDefinition",
    "Catalogue",
    "ClientCredentialsDefinition",
    "ClientDefinition",
    "Definition",
    "DeriveDefinition",
    "Export",
    "Field",
    "FieldDefinition",
    "Flow",
    "Host",
    "InjectDefinition",
    "JwtBearerDefinition",
    "MistakeError",
    "OAuth",
    "OAuthDefinition",
    "Placement",
    "Provider",
    "RevocationDefinition",
    "SigV4Definition",
    "Signing",
    "Source",
    "Spot",
    "TestRequest",
    "Value",
    "bundled",
    "check_entry",
    "check_name",
    "covered",
    "endpoints",
    "load",
    "matches",
    "mentions",
    "oauth_hosts",
    "placeholder",
    "read",
    "resolve",
]

"""How one service authenticates, and to which hosts its credential may go.

Promises that a `Provider` is complete and safe to act on: every host is an exact name and port, every header is a legal
field name, every template uses fields that exist. Refuses a definition that could send a credential somewhere its
author did not name: patterns for hosts, plain `http`, control characters, placements without a host.

A definition is a JSON file: bundled with the program, put into `<home>/providers/` by its user, or brought along by a
project. The user's wins, and a project's counts only where it is trusted (see `trust`).
"""

from authsome.provider.catalogue import Catalogue, Source, bundled, load, read
from authsome.provider.definition import (
    CATEGORIES,
    AlsoDefinition,
    ApiKey,
    BasicDefinition,
    Definition,
    Export,
    FieldDefinition,
    InjectDefinition,
    SigV4Definition,
    TestRequest,
)
from authsome.provider.names import (
    DEFAULT_CONNECTION,
    NAME,
    PLACEHOLDER,
    READ_BY_PROGRAMS,
    SECRETIVE,
    TOKEN,
    VARIABLE,
    Host,
    check_name,
    placeholder,
)
from authsome.provider.placement import SIGNATURE_HEADERS, SIGNATURE_QUERY, Placement, Signing, Spot, Value, matches
from authsome.provider.resolved import Field, Provider, resolve

__all__ = [
    "CATEGORIES",
    "DEFAULT_CONNECTION",
    "NAME",
    "PLACEHOLDER",
    "READ_BY_PROGRAMS",
    "SECRETIVE",
    "SIGNATURE_HEADERS",
    "SIGNATURE_QUERY",
    "TOKEN",
    "VARIABLE",
    "AlsoDefinition",
    "ApiKey",
    "BasicDefinition",
    "Catalogue",
    "Definition",
    "Export",
    "Field",
    "FieldDefinition",
    "Host",
    "InjectDefinition",
    "Placement",
    "Provider",
    "SigV4Definition",
    "Signing",
    "Source",
    "Spot",
    "TestRequest",
    "Value",
    "bundled",
    "check_name",
    "load",
    "matches",
    "placeholder",
    "read",
    "resolve",
]

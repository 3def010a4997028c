"""The token: in a header, or in a cookie that a script cannot read.

The cookie holds a code derived from the token, not the token: a stolen cookie file opens this
server until the token changes, but does not give the token away.
"""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie

SESSION_COOKIE = "darkroom_session"


def token_matches(given: str, token: str) -> bool:
    """Compare in the same time whatever differs."""
    return hmac.compare_digest(given.encode(), token.encode())


def session_value(token: str) -> str:
    """What the cookie holds."""
    return hmac.new(token.encode(), b"darkroom session 1", hashlib.sha256).hexdigest()


def is_admitted(token: str, *, authorization: str | None, cookie: str | None) -> bool:
    """Whether one of the two headers carries the token."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token_matches(given.strip(), token):
        return True
    return token_matches(_session_of(cookie or ""), session_value(token))


def _session_of(cookie_header: str) -> str:
    try:
        morsel = SimpleCookie(cookie_header).get(SESSION_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""

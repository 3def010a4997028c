"""The built pages: hashed assets for ever and compressed, the page itself never from a cache."""

from __future__ import annotations

import functools
import gzip
import mimetypes
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from backend.dependencies import SettingsOf
from backend.files import existing_file

router = APIRouter(include_in_schema=False)

# Mantine sets styles on elements; everything else comes from files of our own.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_COMPRESSIBLE = {".js", ".css", ".svg"}
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Darkroom</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}
code{background:#8883;padding:.1em .3em;border-radius:3px}</style>
<h1>The pages are not built yet</h1>
<p>The server runs, but <code>{folder}</code> holds no <code>index.html</code>.
Build it with <code>make install</code>, then reload this page.</p></html>"""


@router.api_route("/{path:path}", methods=["GET", "HEAD"])
def page_or_asset(path: str, request: Request, settings: SettingsOf) -> Response:
    """A file of the build; any other address is the application's own, so the page itself."""
    if path == "api" or path.startswith("api/"):
        # No route took it. Those there are answer GET, so a HEAD is what they do not allow.
        raise HTTPException(405 if request.method == "HEAD" else 404, headers={"Allow": "GET"})
    if path.startswith("assets/"):
        return _asset(settings.pages_dir, path, request)
    if path and "." in path.rsplit("/", 1)[-1]:
        file = existing_file(settings.pages_dir, path)
        return FileResponse(file, headers={"Cache-Control": "no-cache"})
    return _page(settings.pages_dir)


def _asset(pages: Path, path: str, request: Request) -> Response:
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    file = existing_file(pages, path)
    wants_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    if not wants_gzip or file.suffix not in _COMPRESSIBLE:
        return FileResponse(file, headers=headers)
    headers["Content-Encoding"] = "gzip"
    media_type = mimetypes.guess_type(file.name)[0]
    return Response(_compressed(file), media_type=media_type, headers=headers)


@functools.lru_cache(maxsize=200)
def _compressed(file: Path) -> bytes:
    """An asset's name is made of its content, so that this holds for ever."""
    return gzip.compress(file.read_bytes())


def _page(pages: Path) -> Response:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    index = pages / "index.html"
    if not index.is_file():
        return HTMLResponse(_NOT_BUILT.replace("{folder}", str(pages)), 503, headers)
    return FileResponse(index, headers=headers, media_type="text/html")

"""The admin interface: HTTP on a Unix socket in the cluster's folder, for whoever may open that.

    POST   /faults      {"kind": …, …}   -> 201 and the fault, with its id
    GET    /faults                       -> the faults that hold
    DELETE /faults/ID                    -> 200, or 404 if it does not hold
    DELETE /faults                       -> all of them are undone

The rules it keeps: the socket's mode is 0600; no fault touches it; a fault ends with the connection that asked for it,
unless it was asked for with `"held": false`. docs/faults.md says the same to users.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from simcluster.faults.board import Active, Board
from simcluster.faults.door import Door
from simcluster.faults.kinds import FaultError, read, show

# A connection that holds a fault may be silent for as long as the fault lasts.
_SILENT_S = 10 * 365 * 86400.0


class AdminServer:
    """Serves a board from `start` to `stop`."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._runner: web.ServerRunner | None = None

    async def start(self, door: Door) -> None:
        """Serve at a door."""
        server = _Server(self._handle, self._board)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, door.listener).start()

    async def stop(self) -> None:
        """Answer no more, and undo all faults."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._board.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        try:
            return await self._answer(request)
        except FaultError as error:
            return _answer({"error": str(error)}, 400)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        place, _, number = request.path.strip("/").partition("/")
        if place != "faults":
            return _answer(
                {"error": f"there is nothing at {request.path}\n  known: /faults, /faults/ID"}, 404
            )
        if request.method == "GET" and not number:
            return _answer({"faults": [_show(each) for each in self._board.active]})
        if request.method == "POST" and not number:
            return await self._begin(request)
        if request.method == "DELETE":
            return await self._undo(number)
        return _answer({"error": f"{request.method} is not known here\n  known: GET, POST, DELETE"}, 405)

    async def _begin(self, request: web.BaseRequest) -> web.Response:
        try:
            document: Any = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise FaultError(f"the body is not JSON: {error}") from None
        active = await self._board.begin(read(document), request.protocol)
        if request.transport is None and active.owner is not None:
            # Who asked has gone meanwhile, and nobody would end it.
            await self._board.undo(active.id)
        return _answer(_show(active), 201)

    async def _undo(self, number: str) -> web.Response:
        if not number:
            await self._board.close()
            return _answer({"faults": []})
        if not await self._board.undo(number):
            return _answer({"error": f"no fault {number} holds"}, 404)
        return _answer({"id": number})


class _Server(web.Server):
    """Tells the board when a connection has gone."""

    def __init__(self, handler: Any, board: Board) -> None:
        super().__init__(handler, access_log=None, keepalive_timeout=_SILENT_S)
        self._board = board
        self._tasks: set[Any] = set()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        task = self._loop.create_task(self._board.undo_of(handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _show(active: Active) -> dict[str, Any]:
    return {"id": active.id, "ends_at": active.ends_at, "held": active.owner is not None} | show(active.fault)


def _answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

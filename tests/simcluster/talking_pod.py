"""A pod that talks over WebSockets, on HTTP and with a certificate on HTTPS; see test_proxying."""

import asyncio
import os
import ssl

from aiohttp import WSMsgType, web

HEARD = ["nothing", "open"]
SAID = [0]


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Say aloud what comes, remember it, or talk without end."""
    socket = web.WebSocketResponse(protocols=("loud",), max_msg_size=0)
    await socket.prepare(request)
    while request.path == "/endless":
        await socket.send_bytes(bytes(65536))
        SAID[0] += 65536
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif request.path == "/last":
            HEARD[0] = message.data.strip()
        elif message.data == "bye":
            await socket.close(code=4001)
        else:
            await socket.send_str(message.data.upper())
    if request.path == "/last":
        HEARD[1] = "closed"
    return socket


async def heard(request: web.Request) -> web.Response:
    """What came last at /last, and whether that is over."""
    return web.Response(text=" ".join(HEARD))


async def said(request: web.Request) -> web.Response:
    """How much was said at /endless."""
    return web.Response(text=str(SAID[0]))


async def serve() -> None:
    """Serve until killed."""
    application = web.Application()
    application.add_routes([web.get(path, talk) for path in ("/echo", "/last", "/endless")])
    application.add_routes([web.get("/heard", heard), web.get("/said", said)])
    runner = web.AppRunner(application)
    await runner.setup()
    if "TLS" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{os.environ['TLS']}/certificate", f"{os.environ['TLS']}/key")
        await web.TCPSite(runner, os.environ["POD_IP"], 8443, ssl_context=context).start()
    await web.TCPSite(runner, os.environ["POD_IP"], 8080).start()
    await asyncio.Event().wait()


asyncio.run(serve())

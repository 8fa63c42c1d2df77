"""A pod that answers each connection with what it was sent, louder, piece by piece until the sender ends."""

import asyncio
import os


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(shout, os.environ["POD_IP"], 8080)
    await server.serve_forever()


asyncio.run(main())

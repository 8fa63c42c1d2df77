"""An Echo server as a program: `echo_program.py ADDRESS:PORT NAME [--leash]`. Says "serving" when it does. On a
leash it ends when its standard input does, so that it does not outlive a test run that was killed.
"""

import sys
import threading
from concurrent import futures

import grpc


def say(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request == b"hold":
        threading.Event().wait(30)
    return sys.argv[2].encode() + b":" + request


server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
handlers = {"Say": grpc.unary_unary_rpc_method_handler(say)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
server.add_insecure_port(sys.argv[1])
server.start()
sys.stdout.write("serving\n")
sys.stdout.flush()
if "--leash" in sys.argv:
    sys.stdin.read()
else:
    server.wait_for_termination()

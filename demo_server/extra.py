"""What a program of this package says where the packages that it needs are not installed."""


def explain_absence(program: str, error: ModuleNotFoundError) -> str:
    """`pip install kube-grpc` brings the balancer alone; the Greeter's own needs are an extra."""
    return f"demo_server.{program}: {error.name} is not installed\n  pip install 'kube-grpc[demo]'"

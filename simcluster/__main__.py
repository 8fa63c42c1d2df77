"""The command line: `python -m simcluster up`; `commands` has what people may write, `command` the quick way."""

from __future__ import annotations

import sys

from simcluster import command


def main() -> None:
    """Do what the command line says and end."""
    try:
        _run()
    except ModuleNotFoundError as error:  # `pip install kube-grpc` brings the balancer alone
        sys.exit(f"simcluster: {error.name} is not installed\n  pip install 'kube-grpc[simcluster]'")


def _run() -> None:
    options = command.read(sys.argv[1:])
    if options is not None:
        try:
            code = command.begin(**options)
        except KeyboardInterrupt:  # before anybody waits for it
            code = 130
        sys.exit(code)
    # Not at the top: what begins a cluster does not wait for it.
    from simcluster.commands import app

    app()


if __name__ == "__main__":
    main()

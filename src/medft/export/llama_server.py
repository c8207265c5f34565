"""llama.cpp's own server (package xllamacpp) in a process of its own: python -m medft.export.llama_server FILE TOKENS

It listens on loopback, on a free port, prints its address, and ends when its standard input does.
"""

import sys


def main() -> None:
    """Serve the GGUF file with room for so many tokens."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.n_ctx = int(sys.argv[2])
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()

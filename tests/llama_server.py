"""A real OpenAI-compatible server (llama.cpp out of xllamacpp) on a free port: prints its address, serves until killed.

python tests/llama_server.py MODEL.gguf
"""

import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"tiny-judge"}
params.n_ctx = 1024
params.n_parallel = 1
params.hostnames = ["127.0.0.1"]
params.port = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.pause()

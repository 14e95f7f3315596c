"""Makes demo-shaped.imatrix.gguf, an importance matrix as llama.cpp writes it, with the public `gguf` package.

    pip install gguf && python3 make_gguf_imatrix.py demo-shaped.imatrix.gguf

Shapes are those of the demonstration model's layers 0 (dense) and 1 (sparse); expert 3 saw no token and expert 5 few.
Sums are small whole numbers, so that a reader's results can be compared exactly.
"""

import sys

import gguf
import numpy as np

HIDDEN, DENSE, SHARED, EXPERT, EXPERTS = 256, 512, 64, 64, 32
QUERY_LATENT, LATENT, ATTENDED = 96, 64, 128
TOKENS = 512

writer = gguf.GGUFWriter(sys.argv[1], arch="")
# The package wants an architecture; llama.cpp writes none into importance matrices.
writer.kv_data[0].pop("general.architecture", None)
writer.add_string("general.type", "imatrix")
writer.add_array("imatrix.datasets", ["stories.txt", "more stories.txt"])
writer.add_uint32("imatrix.chunk_count", 1)
writer.add_uint32("imatrix.chunk_size", TOKENS)


def add(name: str, columns: int, counts: list[int]) -> None:
    rows = np.arange(len(counts))[:, None]
    sums = (1 + (rows * 7 + np.arange(columns)[None, :]) % 11) * np.array(counts)[:, None]
    writer.add_tensor(f"{name}.weight.in_sum2", sums.astype(np.float32))
    writer.add_tensor(f"{name}.weight.counts", np.array(counts, dtype=np.float32)[:, None])


for layer in range(2):
    block = f"blk.{layer}"
    add(f"{block}.attn_q_a", HIDDEN, [TOKENS])
    add(f"{block}.attn_q_b", QUERY_LATENT, [TOKENS])
    add(f"{block}.attn_kv_a_mqa", HIDDEN, [TOKENS])
    add(f"{block}.attn_kv_b", LATENT, [TOKENS])
    add(f"{block}.attn_output", ATTENDED, [TOKENS])
for name, columns in [("ffn_gate", HIDDEN), ("ffn_up", HIDDEN), ("ffn_down", DENSE)]:
    add(f"blk.0.{name}", columns, [TOKENS])
counts = [64 + expert for expert in range(EXPERTS)]
counts[3], counts[5] = 0, 2
add("blk.1.ffn_gate_inp", HIDDEN, [TOKENS])
for name, columns in [("ffn_gate_exps", HIDDEN), ("ffn_up_exps", HIDDEN), ("ffn_down_exps", EXPERT)]:
    add(f"blk.1.{name}", columns, counts)
for name, columns in [("ffn_gate_shexp", HIDDEN), ("ffn_up_shexp", HIDDEN), ("ffn_down_shexp", SHARED)]:
    add(f"blk.1.{name}", columns, [TOKENS])
add("output", HIDDEN, [TOKENS])

writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

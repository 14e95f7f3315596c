"""Makes the checkpoint and reference outputs of this folder.

usage: generate.py FOLDER        needs torch and transformers 5.24
"""

import sys
import torch
from safetensors.torch import load_file, save_file
from transformers import Dots1Config, Dots1ForCausalLM

folder = sys.argv[1]
torch.manual_seed(1)
config = Dots1Config(
    vocab_size=256, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, n_shared_experts=2, n_routed_experts=16, n_group=1,
    topk_group=1, num_experts_per_tok=4, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5,
    max_position_embeddings=512, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000000.0},
    tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, sliding_window=None)
model = Dots1ForCausalLM(config).eval()
with torch.no_grad():
    for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" in name:
            continue
        if tensor.dim() == 1:
            tensor.copy_(torch.randn_like(tensor) * 0.1 + (0 if "bias" in name else 1))
        elif "embed_tokens" in name:
            tensor.copy_(torch.randn_like(tensor))
        else:
            tensor.copy_(torch.randn_like(tensor) / tensor.shape[-1] ** 0.5)
        tensor.copy_(tensor.to(torch.bfloat16).float())

    prompt = torch.randint(2, 256, (1, 96))
    output = model(prompt, output_hidden_states=True)
    greedy = prompt[:, :32]
    for _ in range(32):
        greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], dim=1)

model.save_pretrained(folder)
path = folder + "/model.safetensors"
save_file({name: tensor if "correction_bias" in name else tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}, path)
save_file(
    {
        "input_ids": prompt[0].to(torch.int32), "greedy_ids": greedy[0].to(torch.int32),
        "logits": output.logits[0].contiguous(),
        "hidden_states": torch.stack([state[0] for state in output.hidden_states]).contiguous(),
    }, folder + "/golden.safetensors")

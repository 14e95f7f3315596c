"""Makes `scaled.safetensors`: the reference's logits for the llama checkpoint of this folder with scaled frequencies.

usage: scaled.py FOLDER        needs torch and transformers 5.24
"""

import json
import sys
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

folder = sys.argv[1]
tokens = load_file(folder + "/golden.safetensors")["input_ids"][:48].long()[None]
outputs = {}
for name, parameters in [
    ("llama3", {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}),
    ("linear", {"factor": 2.5}),
]:
    with open(folder + "/config.json") as file:
        values = json.load(file)
    values["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": name, **parameters}
    model = LlamaForCausalLM(LlamaConfig(**values)).eval()
    model.load_state_dict({k: v.float() for k, v in load_file(folder + "/model.safetensors").items()})
    with torch.no_grad():
        outputs[name] = model(tokens).logits[0, -16:].contiguous()
save_file(outputs, folder + "/scaled.safetensors")

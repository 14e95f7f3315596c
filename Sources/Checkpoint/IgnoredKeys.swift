/// Keys of `config.json` that can't change what inference computes, and why, by group.
enum IgnoredKeys {
    /// Names of classes, versions and files: they say where the model came from.
    static let provenance = [
        "_name_or_path", "architectures", "auto_map", "transformers_version", "model_type", "_commit_hash",
        "unsloth_fixed", "unsloth_version", "task_specific_params", "finetuning_task",
    ]
    /// The type that the weights were stored or loaded in; each tensor says its own.
    static let storage = ["torch_dtype", "dtype"]
    /// Initialisation, dropout and losses of the training; nothing of it runs at inference.
    static let training = [
        "attention_dropout", "initializer_range", "aux_loss_alpha", "seq_aux", "router_aux_loss_coef",
        "output_router_logits", "gradient_checkpointing", "router_jitter_noise",
    ]
    /// How the reference implementation splits or caches its work; sums come out the same but for rounding.
    static let execution = [
        "use_cache", "ep_size", "pretraining_tp", "_attn_implementation", "attn_implementation", "output_attentions",
        "output_hidden_states", "return_dict", "torchscript", "use_bfloat16", "chunk_size_feed_forward",
    ]
    /// What generation programs do with the text side.
    static let text = ["pad_token_id", "sep_token_id", "decoder_start_token_id", "is_decoder", "is_encoder_decoder"]
    /// Labels of classification heads, which these checkpoints don't have.
    static let labels = ["id2label", "label2id", "num_labels", "problem_type"]

    static let all = provenance + storage + training + execution + text + labels
}

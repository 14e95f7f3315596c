import JSON

/// Every field that a request may have, with its range.
enum RequestFields {
    static func chatCompletion(_ limits: ServerLimits) -> FieldTable {
        var rules = shared(limits)
        rules["messages"] = .array(
            .object(message), count: 1...limits.messageCount, required: "an array of messages")
        rules["max_completion_tokens"] = tokenCount
        rules["logprobs"] = .boolean
        rules["top_logprobs"] = .integer(0...limits.logprobCount)
        rules["thinking"] = .object(FieldTable(["type": .oneOf(["enabled", "disabled"])], required: ["type"]))
        rules["parallel_tool_calls"] = .boolean
        rules["tools"] = .array(.object(tool), count: 0...limits.toolCount, required: "an array of tools")
        rules["functions"] = .functions(limits.toolCount)
        // A word or an object: `ToolChoice` reads it.
        rules["tool_choice"] = .harmless
        rules["reasoning_effort"] = .oneOf(["none", "low", "medium", "high"])
        rules["function_call"] = .unsupported(neutral: [.string("none"), .string("auto")], advice: "")
        rules["response_format"] = .object(responseFormat)
        rules["modalities"] = .unsupported(
            neutral: [.array([.string("text")])], advice: ": this model answers in text only")
        for name in [
            "audio", "prediction", "web_search_options", "reasoning", "verbosity",
            "chat_template", "chat_template_kwargs", "documents", "continue_final_message", "add_generation_prompt",
        ] {
            rules[name] = .unsupported(
                neutral: [], advice: name == "reasoning" ? "; use 'thinking' or 'reasoning_effort'" : "")
        }
        return FieldTable(rules, required: ["messages"])
    }

    static func completion(_ limits: ServerLimits) -> FieldTable {
        var rules = shared(limits)
        rules["prompt"] = .string
        rules["logprobs"] = .integer(0...limits.logprobCount)
        rules["echo"] = .boolean
        rules["suffix"] = .unsupported(neutral: [.string("")], advice: "")
        rules["best_of"] = .unsupported(neutral: [.integer(1)], advice: ": only one answer is made")
        return FieldTable(rules, required: ["prompt"])
    }

    private static let tokenCount = FieldRule.integer(1...Int(Int32.max))

    private static func shared(_ limits: ServerLimits) -> [String: FieldRule] {
        var rules: [String: FieldRule] = [
            "model": .string,
            "stream": .boolean,
            "stream_options": .object(FieldTable(["include_usage": .boolean])),
            "max_tokens": tokenCount,
            "temperature": .number(0...2),
            "top_p": .number(0...1),
            "top_k": .integer(-1...1_000_000),
            "min_p": .number(0...1),
            "repetition_penalty": .number(0.01...10),
            "presence_penalty": .number(-2...2),
            "frequency_penalty": .number(-2...2),
            "seed": .integer(Int.min...Int.max),
            "stop": .strings(maximumCount: limits.stopStringCount, maximumByteCount: limits.stopStringByteCount),
            "n": .choices(limits.choiceCount),
            "response_format": .object(
                FieldTable(
                    ["type": .unsupported(neutral: [.string("text")], advice: " in this form: only text is")],
                    required: ["type"])),
            "logit_bias": .unsupported(neutral: [.object([])], advice: ""),
            "moed": .object(
                FieldTable(["prefer_resident": .number(0...1), "drop_cold": .number(0...1)], isClosed: true)),
        ]
        // These say who asks and how to bill it, and can't change an answer.
        for name in [
            "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
            "prompt_cache_retention",
        ] {
            rules[name] = .harmless
        }
        // What other servers take and this one would have to drop silently.
        for name in [
            "repeat_penalty", "repeat_last_n", "typical_p", "tfs_z", "top_a", "mirostat", "mirostat_mode",
            "mirostat_tau", "mirostat_eta", "dynatemp_range", "dry_multiplier", "xtc_probability", "samplers",
            "num_predict", "n_predict", "num_ctx", "options", "grammar", "json_schema", "format", "guided_json",
            "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "regex", "ebnf", "min_tokens",
            "stop_token_ids", "ignore_eos", "bad_words", "allowed_token_ids", "logits_processors",
            "length_penalty", "use_beam_search", "early_stopping", "truncate_prompt_tokens", "prompt_logprobs",
            "return_tokens_as_token_ids", "lora", "images",
        ] {
            rules[name] = .unsupported(neutral: [], advice: "")
        }
        return rules
    }

    private static let message = FieldTable(
        [
            "role": .oneOf(["system", "developer", "user", "assistant", "tool"]),
            "content": .content,
            "reasoning_content": .string,
            "prefix": .boolean,
            "name": .string,
            "refusal": .unsupported(neutral: [], advice: ""),
            "tool_calls": .array(.object(call), count: 0...128, required: "an array of calls"),
            "tool_call_id": .string,
            "function_call": .unsupported(neutral: [], advice: "; use 'tool_calls'"),
            "audio": .unsupported(neutral: [], advice: ""),
        ], required: ["role", "content"], dispensable: ["content": "tool_calls"])

    private static let responseFormat = FieldTable(
        [
            "type": .oneOf(["text", "json_object", "json_schema"]),
            "json_schema": .object(
                FieldTable(
                    [
                        "name": .name, "description": .string, "strict": .boolean, "schema": .object(FieldTable([:])),
                    ], required: ["schema"])),
        ], required: ["type"])

    private static let tool = FieldTable(
        [
            "type": .oneOf(["function"]),
            "function": .object(
                FieldTable(
                    [
                        "name": .name, "description": .string, "parameters": .object(FieldTable([:])),
                        "strict": .boolean,
                    ], required: ["name"])),
        ], required: ["type", "function"])

    private static let call = FieldTable(
        [
            "id": .string, "type": .oneOf(["function"]),
            "function": .object(FieldTable(["name": .name, "arguments": .string], required: ["name", "arguments"])),
        ], required: ["id", "type", "function"])
}

extension FieldRule {
    /// `n`: bounded first, and of the bounded ones only one.
    fileprivate static func choices(_ limit: Int) -> FieldRule {
        .both(
            .integer(1...limit),
            .unsupported(neutral: [.integer(1)], advice: " above 1: send the request again"))
    }

    fileprivate static func functions(_ limit: Int) -> FieldRule {
        .both(
            .array(.harmless, count: 0...limit, required: "an array of functions"),
            .unsupported(neutral: [.array([])], advice: "; use 'tools'"))
    }
}

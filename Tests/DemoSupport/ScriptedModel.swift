import Checkpoint
import Container
import Foundation
import Quantizer
import TestSupport

/// A model whose weights make it say one thing: after a line's end, which a prompt must end with, it writes the given
/// pieces one after the other and then its end token. All else about it is as ever: a Llama or gpt-oss in f32, with a
/// tokenizer and a chat template of its own.
///
/// Nothing is added to the embeddings on their way to the output head, and the head's row for a token is the embedding of
/// the one before it.
package final class ScriptedModel: Sendable {
    package let path: String
    private let directory: TemporaryDirectory

    private static let hiddenSize = 256
    package static let begin = "<|im_start|>"
    package static let end = "<|im_end|>"

    package enum Family: Sendable {
        case llama
        case gptOSS

        /// What `config.json` says beside sizes and tokens.
        fileprivate var configuration: String {
            switch self {
            case .llama: #""model_type": "llama", "attention_bias": false, "mlp_bias": false"#
            case .gptOSS:
                """
                "model_type": "gpt_oss", "attention_bias": true, "head_dim": 64, "num_local_experts": 2,
                "num_experts_per_tok": 1, "sliding_window": 128
                """
            }
        }

        /// The layer's matrices and biases, all of them zeros.
        fileprivate var tensors: [(name: String, shape: [Int])] {
            let size = ScriptedModel.hiddenSize
            let attention = ["q_proj", "k_proj", "v_proj", "o_proj"].map { "self_attn.\($0)" }
            let matrices = attention.map { ("\($0).weight", [size, size]) }
            switch self {
            case .llama:
                return matrices + [
                    ("mlp.gate_proj.weight", [32, size]), ("mlp.up_proj.weight", [32, size]),
                    ("mlp.down_proj.weight", [size, 32]),
                ]
            case .gptOSS:
                return matrices + attention.map { ("\($0).bias", [size]) } + [
                    ("self_attn.sinks", [4]), ("mlp.router.weight", [2, size]), ("mlp.router.bias", [2]),
                    ("mlp.experts.gate_up_proj", [2, size, 64]), ("mlp.experts.gate_up_proj_bias", [2, 64]),
                    ("mlp.experts.down_proj", [2, 32, size]), ("mlp.experts.down_proj_bias", [2, size]),
                ]
            }
        }
    }

    /// - Parameters:
    ///   - pieces: all different, none of them one byte.
    ///   - special: those of them that are special tokens.
    ///   - template: in which prompts end with a line's end.
    package init(
        _ pieces: [String], special: Set<String> = [], template: String, family: Family = .llama
    ) throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/scripted.moe"
        let checkpoint = "\(directory.path)/checkpoint"
        try FileManager.default.createDirectory(atPath: checkpoint, withIntermediateDirectories: true)
        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: "\(checkpoint)/\(name)"))
        }
        let count = 258 + pieces.count
        try write(
            "config.json",
            """
            {"vocab_size": \(count), "hidden_size": \(Self.hiddenSize), "num_hidden_layers": 1,
             "num_attention_heads": 4, "intermediate_size": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
             "rope_theta": 10000, "hidden_act": "silu", \(family.configuration), "bos_token_id": 256, "eos_token_id": 257,
             "tie_word_embeddings": false}
            """)
        try write("tokenizer.json", Self.tokenizer(pieces, special: special))
        try write("tokenizer_config.json", #"{"bos_token": "\#(Self.begin)", "eos_token": "\#(Self.end)"}"#)
        try write("chat_template.jinja", template)
        try Self.weights(count: count, script: [10] + Array(258..<count) + [257], family)
            .write(to: "\(checkpoint)/model.safetensors")

        let source = try Checkpoint(directory: checkpoint)
        let conversion = Conversion(
            source, plan: FormatPlan(source.configuration, type: .f32, isPure: false), packing: .never, threadCount: 1,
            progress: ConversionProgress(totalByteCount: Conversion.sourceByteCount(of: source), hashByteCount: 0))
        _ = try conversion.run(into: ContainerWriter(path: path, replacing: false), tool: "tests")
    }

    /// - Parameter script: tokens, each of which follows the one before.
    private static func weights(count: Int, script: [Int], _ family: Family) -> SafetensorsWriter {
        let size = hiddenSize
        var random = SplitMix(seed: 1)
        let embedding = (0..<count * size).map { _ in random.next() >> 63 == 0 ? Float(1) : -1 }
        var head = [Float](repeating: 0, count: count * size)
        for (token, next) in zip(script, script.dropFirst()) {
            head.replaceSubrange(next * size..<(next + 1) * size, with: embedding[token * size..<(token + 1) * size])
        }
        var writer = SafetensorsWriter()
        writer.add("model.embed_tokens.weight", shape: [count, size], floats: embedding)
        writer.add("lm_head.weight", shape: [count, size], floats: head)
        for name in ["model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"] {
            writer.add("\(name).weight", shape: [size], floats: Array(repeating: 1, count: size))
        }
        for (name, shape) in family.tensors {
            writer.add(
                "model.layers.0.\(name)", shape: shape, floats: Array(repeating: 0, count: shape.reduce(1, *)))
        }
        return writer
    }

    /// A byte-level tokenizer that has one token for each byte, in their order, and the pieces as added tokens.
    private static func tokenizer(_ pieces: [String], special: Set<String>) throws -> String {
        var added = [ByteTokenizer.Added(id: 256, text: begin), ByteTokenizer.Added(id: 257, text: end)]
        for (place, piece) in pieces.enumerated() {
            added.append(ByteTokenizer.Added(id: 258 + place, text: piece, isSpecial: special.contains(piece)))
        }
        return try ByteTokenizer.json(ids: Dictionary(uniqueKeysWithValues: (0..<256).map { (UInt8($0), $0) }), added)
    }
}

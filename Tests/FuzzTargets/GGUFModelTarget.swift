import Checkpoint
import GGUFSupport
import TestSupport

/// A model in GGUF that opens must be sound: each of its matrices can be read to the end, or is refused with a reason.
struct GGUFModelTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        "GGUF", "general.type", "general.alignment", "llama.", "deepseek2.", "rope.scaling.type", "yarn", "blk.0.",
        "attn_kv_b.weight", "ffn_up.1.weight", "ffn_gate_up_exps.weight", "rope_freqs.weight", "split.count", "llama",
    ]
    private let headers: [Int]
    private let file: FuzzedFile

    init() throws {
        let images = [Self.mixture, Self.latent]
        samples = images.map(\.bytes)
        headers = images.map(\.header.count)
        file = try FuzzedFile()
    }

    /// Mostly in the header, where there is something to misunderstand.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        let count = samples.firstIndex(of: sample).map { headers[$0] } ?? sample.count
        let (header, rest) = (Array(sample[..<count]), Array(sample[count...]))
        switch mutator.pick(Array(0..<8)) {
        case 0: return mutator.mutate(sample)
        case 1: return header + mutator.overwrite(rest)
        case 2: return mutator.mutate(header) + rest
        default: return mutator.overwrite(header) + rest
        }
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        try file.replace(with: bytes)
        guard let checkpoint = try? Checkpoint(path: file.path) else { return false }
        for matrix in checkpoint.tensors.map(\.matrix) + checkpoint.experts.flatMap({ [$0.gate, $0.up, $0.down] }) {
            let count = matrix.rows * matrix.columns
            guard count <= bytes.count * 2 else { throw FuzzFailure("\(matrix.name) is larger than its file") }
            var values = [Float](repeating: .nan, count: count)
            let isRead = values.withUnsafeMutableBufferPointer { buffer in
                (try? matrix.readRows(0..<matrix.rows, into: buffer)) != nil
            }
            guard !isRead || values.allSatisfy(\.isFinite) else {
                throw FuzzFailure("\(matrix.name) has values that aren't finite")
            }
        }
        return true
    }

    /// Two experts in stacks, rows in another order, blocks, and a vocabulary.
    private static var mixture: GGUFImage {
        var image = common("llama", heads: 2)
        image["llama.attention.head_count_kv"] = .uint32(1)
        image["llama.expert_count"] = .uint32(2)
        image["llama.expert_used_count"] = .uint32(1)
        image["tokenizer.ggml.model"] = .text("gpt2")
        image["tokenizer.ggml.pre"] = .text("qwen2")
        image["tokenizer.ggml.tokens"] = .texts(["a", "b", "ab", "<s>"])
        image["tokenizer.ggml.token_type"] = .int32s([1, 1, 1, 3])
        image["tokenizer.ggml.merges"] = .texts(["a b"])
        image["tokenizer.ggml.bos_token_id"] = .uint32(3)
        add("blk.0.attn_q.weight", [32, 32], .q8_0, to: &image)
        add("blk.0.attn_k.weight", [32, 16], .q4_0, to: &image)
        add("blk.0.attn_v.weight", [32, 16], .bf16, to: &image)
        add("blk.0.attn_output.weight", [32, 32], .f16, to: &image)
        addExperts(to: &image)
        return image
    }

    /// Latent attention in parts.
    private static var latent: GGUFImage {
        var image = common("deepseek2", heads: 1)
        for (key, value) in [
            ("expert_count", 2), ("expert_used_count", 1), ("expert_shared_count", 0), ("rope.dimension_count", 16),
            ("expert_feed_forward_length", 32), ("attention.kv_lora_rank", 32), ("attention.key_length_mla", 32),
            ("attention.value_length_mla", 16), ("expert_group_count", 1), ("expert_group_used_count", 1),
        ] as [(String, UInt32)] {
            image["deepseek2.\(key)"] = .uint32(value)
        }
        add("blk.0.attn_q.weight", [32, 32], .bf16, to: &image)
        add("blk.0.attn_kv_a_mqa.weight", [32, 48], .q8_0, to: &image)
        add("blk.0.attn_kv_a_norm.weight", [32], .f32, to: &image)
        add("blk.0.attn_k_b.weight", [16, 32, 1], .bf16, to: &image)
        add("blk.0.attn_v_b.weight", [32, 16, 1], .q8_0, to: &image)
        add("blk.0.attn_output.weight", [16, 32], .f16, to: &image)
        addExperts(to: &image)
        return image
    }

    private static func common(_ architecture: String, heads: UInt32) -> GGUFImage {
        var image = GGUFImage()
        image["general.architecture"] = .text(architecture)
        for (key, value) in [
            ("block_count", 1), ("context_length", 64), ("embedding_length", 32), ("feed_forward_length", 32),
            ("attention.head_count", heads),
        ] as [(String, UInt32)] {
            image["\(architecture).\(key)"] = .uint32(value)
        }
        image["\(architecture).attention.layer_norm_rms_epsilon"] = .float32(1e-5)
        for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
            add("\(name).weight", [32], .f32, to: &image)
        }
        add("token_embd.weight", [32, 4], .q4_0, to: &image)
        return image
    }

    private static func addExperts(to image: inout GGUFImage) {
        add("blk.0.ffn_gate_inp.weight", [32, 2], .f32, to: &image)
        for (part, type) in [("gate", BlockWriting.q4_0), ("up", .mxfp4), ("down", .iq4_nl)] {
            add("blk.0.ffn_\(part)_exps.weight", [32, 32, 2], type, to: &image)
        }
    }

    private static func add(_ name: String, _ dimensions: [Int], _ type: BlockWriting, to image: inout GGUFImage) {
        let values = (0..<dimensions.reduce(1, *)).map { Float($0 % 13) - 6 }
        image.tensors.append(
            .init(name: name, dimensions: dimensions, kind: type.rawValue, bytes: type.bytes(values)))
    }
}

import ArgumentParser
import Checkpoint
import Container

/// Published models' shapes, each the `config.json` that it came with.
enum Preset: String, CaseIterable, ExpressibleByArgument {
    case v2Lite = "v2-lite"
    case moonlight
    case v3
    case qwen3MoE30B = "qwen3-30b-a3b"

    var json: String {
        switch self {
        case .v2Lite: Self.deepSeekV2Lite
        case .moonlight: Self.moonlight16B
        case .v3: Self.deepSeekV3
        case .qwen3MoE30B: Self.qwen3MoE30BA3B
        }
    }

    func configuration() throws(CheckpointError) -> ModelConfiguration {
        try Checkpoint.configuration(json: [UInt8](json.utf8), path: "preset \(rawValue)")
    }
}

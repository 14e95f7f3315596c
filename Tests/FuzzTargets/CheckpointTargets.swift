import Checkpoint
import Container
import FoundationEssentials
import TestSupport

/// Every header that is read must describe ranges inside the file that fit the shapes.
struct SafetensorsTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [#""dtype":"F32""#, #""shape":[1]"#, #""data_offsets":[0,4]"#, "__metadata__", "F16", "I64", "[0,32]"]

    private static let small = [
        #"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#,
        #"{"__metadata__":{"format":"pt"},"x.weight":{"dtype":"F8_E4M3","shape":[4,8],"data_offsets":[0,32]}}   "#,
        #"{"e":{"dtype":"I64","shape":[0],"data_offsets":[0,0]},"\u00e9":{"shape":[],"data_offsets":[0,4],"dtype":"I32"},"#
            + #""d":{"dtype":"U8","shape":[28],"data_offsets":[4,32],"more":{"x":[1,null]}}}"#,
    ].map { Array($0.utf8) }
    private static let smallDataByteCount = 32
    private let publishedDataByteCount: Int

    init() throws {
        let published = try SafetensorsFile(
            path: Fixtures.checkpoint("deepseek-v3") + "/model-00001-of-00009.safetensors")
        samples = Self.small + [try published.file.bytes(8..<published.header.byteCount)]
        publishedDataByteCount = published.file.byteCount - published.header.byteCount
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        // Only a longer header can describe the published file's data.
        let fileByteCount = 8 + bytes.count + (bytes.count < 400 ? Self.smallDataByteCount : publishedDataByteCount)
        guard let header = try? SafetensorsHeader(json: bytes, fileByteCount: fileByteCount, path: "fuzzed") else {
            return false
        }
        for tensor in header.tensors {
            guard tensor.offset >= header.byteCount, tensor.byteCount >= 0,
                tensor.offset + tensor.byteCount <= fileByteCount,
                tensor.shape.reduce(tensor.element.byteCount, *) == tensor.byteCount
            else { throw FuzzFailure("the tensor \(tensor) can't be") }
        }
        return true
    }
}

/// Every configuration that is read must describe a model that can be.
struct ConfigurationTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        #""n_group":"#, #""topk_group":"#, #""rope_scaling":null"#, #""type":"yarn""#, "model_type", "sigmoid",
        "noaux_tc",
        "greedy", "deepseek_v2", #""q_lora_rank":null"#, #""quantization_config":"#,
    ]

    init() throws {
        samples = try ["deepseek-v3", "moonlight"].map {
            [UInt8](try Data(contentsOf: URL(filePath: Fixtures.checkpoint($0) + "/config.json")))
        }
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        guard let configuration = try? Checkpoint.configuration(json: bytes) else { return false }
        guard configuration.layerCount > 0, configuration.sparseLayers.count == configuration.layerCount else {
            throw FuzzFailure("the configuration \(configuration) can't be")
        }
        return true
    }
}

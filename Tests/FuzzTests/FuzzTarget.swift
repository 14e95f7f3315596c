import TestSupport

/// A parser as the fuzzer sees it.
protocol FuzzTarget {
    /// Sound files, small ones.
    var samples: [[UInt8]] { get }
    /// Pieces that mean something in the format.
    var words: [String] { get }

    /// - Returns: Whether the input was read. An error of the parser's own kind is an answer too; anything else throws.
    func feed(_ bytes: [UInt8]) throws -> Bool

    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8]
}

extension FuzzTarget {
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] { mutator.mutate(sample) }
}

enum FuzzedParser: String, CaseIterable, Codable, Sendable {
    case safetensors
    case configuration
    case tokenizer
    case importanceMatrix
    case llamaImportanceMatrix

    func makeTarget() throws -> any FuzzTarget {
        switch self {
        case .safetensors: SafetensorsTarget()
        case .configuration: try ConfigurationTarget()
        case .tokenizer: TokenizerTarget()
        case .importanceMatrix: try ImportanceMatrixTarget()
        case .llamaImportanceMatrix: try LlamaImportanceMatrixTarget()
        }
    }
}

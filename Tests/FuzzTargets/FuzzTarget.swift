package import TestSupport

/// A parser as the fuzzers see it.
package protocol FuzzTarget {
    /// Sound files, small ones.
    var samples: [[UInt8]] { get }
    /// Pieces that mean something in the format.
    var words: [String] { get }

    /// - Returns: Whether the input was read. An error of the parser's own kind is an answer too; anything else throws.
    func feed(_ bytes: [UInt8]) throws -> Bool

    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8]

    /// The input with what follows from its other bytes made right: lengths and checksums, without which no change of
    /// the contents would get as far as being read.
    func sealed(_ bytes: [UInt8]) -> [UInt8]
}

extension FuzzTarget {
    package func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] { mutator.mutate(sample) }
    package func sealed(_ bytes: [UInt8]) -> [UInt8] { bytes }
}

package enum FuzzedParser: String, CaseIterable, Codable, Sendable {
    case json
    case safetensors
    case configuration
    case tokenizer
    case importanceMatrix
    case llamaImportanceMatrix
    case ggufModel
    case tiktoken
    case container

    /// How many times as long as with the others it takes to read an input: it gets as many fewer.
    package var cost: Int { self == .tiktoken ? 50 : 1 }

    package func makeTarget() throws -> any FuzzTarget {
        switch self {
        case .json: JSONTarget()
        case .safetensors: try SafetensorsTarget()
        case .configuration: try ConfigurationTarget()
        case .tokenizer: TokenizerTarget()
        case .importanceMatrix: try ImportanceMatrixTarget()
        case .llamaImportanceMatrix: try LlamaImportanceMatrixTarget()
        case .ggufModel: try GGUFModelTarget()
        case .tiktoken: TiktokenTarget()
        case .container: try ContainerTarget()
        }
    }
}

/// What was read can't be.
package struct FuzzFailure: Error, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }
}

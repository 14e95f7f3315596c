import Checkpoint
import Container
import FoundationEssentials
import JSON

/// By what a conversion knows that it would go on to write the same file: its recipe and its sources.
struct ConversionFingerprint: Codable, Equatable {
    /// One file of the checkpoint, told apart without reading all of it.
    struct Source: Codable, Equatable {
        var name: String
        var byteCount: Int
        /// Of weights; other files are small enough for a checksum of the whole.
        var modificationTime: Int?
        /// Of a safetensors file's header, of a GGUF file's beginning, of another file's bytes; in hexadecimal digits.
        var checksum: String
    }

    var recipe: Recipe
    /// Checksum of every array's shape and format.
    var formats: String
    var sources: [Source]

    init(_ checkpoint: Checkpoint, _ recipe: Recipe, _ units: [ConversionUnit]) throws {
        self.recipe = recipe
        formats = hexadecimal(XXH3.hash(Array(units.map(\.formats).joined(separator: "\n").utf8)))
        sources = try checkpoint.files.map { try Source($0) }
    }

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return [UInt8](try encoder.encode(self))
    }

    /// What is different now, each as a person would say it.
    func differences(from identity: [UInt8]) -> [String] {
        let limits = JSONLimits(byteCount: 64 << 20, valueCount: 4 << 20)
        guard let earlier = try? StrictJSON.decode(Self.self, from: identity, limits: limits) else {
            return ["the version of moe-quantize"]
        }
        var differences = zip(Mirror(reflecting: earlier.recipe).children, Mirror(reflecting: recipe).children)
            .filter { "\($0.value)" != "\($1.value)" }
            .map { "the recipe's \($0.label ?? "") (\(Self.text($0.value)), now \(Self.text($1.value)))" }
        if differences.isEmpty, earlier.formats != formats { differences.append("the formats of the tensors") }
        let names = Set(earlier.sources.map(\.name)).union(sources.map(\.name)).sorted()
        for name in names {
            let (old, new) = (earlier.sources.first { $0.name == name }, sources.first { $0.name == name })
            if old != new { differences.append("the source \(name)" + Self.change(old, new)) }
        }
        return differences
    }

    private static func change(_ old: Source?, _ new: Source?) -> String {
        guard let old else { return ", which is new" }
        guard let new else { return ", which is gone" }
        if old.byteCount != new.byteCount { return " (\(old.byteCount) bytes, now \(new.byteCount))" }
        return old.checksum == new.checksum ? " (written since)" : " (its contents)"
    }

    /// Short: a rule's list may be long.
    private static func text(_ value: Any) -> String {
        let text = "\(value)"
        return text.utf8.count <= 60 ? text : "\(text.prefix(60))…"
    }
}

extension ConversionFingerprint.Source {
    /// Bytes of a GGUF file, which has its metadata first.
    private static let beginning = 1 << 20

    fileprivate init(_ file: InputFile) throws {
        let isGGUF = try file.bytes(0..<min(4, file.byteCount)) == GGUFFile.magic
        let isWeights = isGGUF || file.name.hasSuffix(".safetensors")
        let length: Int
        if isGGUF {
            length = Self.beginning
        } else if isWeights {
            // The header's length stands before it, and opening the file has checked it.
            length = try file.bytes(0..<8).reversed().reduce(0) { $0 << 8 | Int($1) } + 8
        } else {
            length = file.byteCount
        }
        name = file.name
        byteCount = file.byteCount
        modificationTime = isWeights ? file.modificationTime : nil
        checksum = hexadecimal(XXH3.hash(try file.bytes(0..<min(length, file.byteCount))))
    }
}

extension ConversionUnit {
    fileprivate var formats: String {
        switch content {
        case .tensor(_, let shape, let table, let rows): "\(name) \(shape) \(table) \(rows)"
        case .expert(_, let layout, let refinement): "\(name) \(layout)" + (refinement.map { " \($0)" } ?? "")
        }
    }
}

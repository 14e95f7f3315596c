internal import FoundationEssentials

extension ModelMetadata {
    /// The same bytes for the same metadata: keys are sorted.
    func encoded(path: String) throws(ContainerError) -> [UInt8] {
        if let problem { throw Self.failure(problem, path: path, offset: nil) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return [UInt8](try encoder.encode(self))
        } catch {
            throw ContainerError(
                .malformed, path: path, field: "metadata", expected: "values that JSON can hold", found: "\(error)")
        }
    }

    /// - Parameter offset: of the JSON in the file.
    init(parsing bytes: ArraySlice<UInt8>, path: String, offset: UInt64) throws(ContainerError) {
        guard bytes.count <= ContainerFormat.metadataByteLimit else {
            throw ContainerError(
                .tooLarge, path: path, offset: offset, field: "metadata",
                expected: "at most \(ContainerFormat.metadataByteLimit) bytes", found: "\(bytes.count) bytes")
        }
        if let place = Self.tooDeep(bytes) {
            throw ContainerError(
                .malformed, path: path, offset: offset + UInt64(place), field: "metadata",
                expected: "at most \(ContainerFormat.metadataDepthLimit) levels", found: "one more")
        }
        do {
            self = try JSONDecoder().decode(ModelMetadata.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw ContainerError(
                .malformed, path: path, offset: offset, field: error.field, expected: "the metadata of a model",
                found: error.reason)
        } catch {
            throw ContainerError(
                .malformed, path: path, offset: offset, field: "metadata", expected: "JSON", found: "\(error)")
        }
        if let problem { throw Self.failure(problem, path: path, offset: offset) }
    }

    private static func failure(_ problem: ConfigurationProblem, path: String, offset: UInt64?) -> ContainerError {
        ContainerError(
            .badConfiguration, path: path, offset: offset, field: problem.field, expected: problem.expected,
            found: problem.found)
    }

    private var problem: ConfigurationProblem? {
        if let problem = configuration.problem { return problem }
        var check = ConfigurationCheck()
        check.label("recipe.tool", recipe.tool)
        check.label("recipe.type", recipe.type)
        if let seed = recipe.randomSeed { check.range("recipe.randomSeed", seed, 0...1 << 53) }
        if let name = recipe.name { check.label("recipe.name", name) }
        for rule in recipe.rules ?? [] { check.label("recipe.rules", rule, limit: 4096) }
        if let bits = recipe.targetBits { check.positive("recipe.targetBits", bits, below: 64) }
        if let value = generationDefaults.temperature {
            check.require("generationDefaults.temperature", value >= 0 && value <= 100, "0 to 100", "\(value)")
        }
        if let value = generationDefaults.topP {
            check.require("generationDefaults.topP", value > 0 && value <= 1, "more than 0, at most 1", "\(value)")
        }
        if let value = generationDefaults.topK { check.range("generationDefaults.topK", value, 0...1 << 24) }
        if let value = generationDefaults.minP {
            check.require("generationDefaults.minP", value >= 0 && value <= 1, "0 to 1", "\(value)")
        }
        if let value = generationDefaults.repetitionPenalty {
            check.positive("generationDefaults.repetitionPenalty", value, below: 1000)
        }
        for loss in losses ?? [] { loss.check(&check, layerCount: configuration.layerCount) }
        for source in sources {
            check.label("sources.name", source.name, limit: 4096)
            check.range("sources.byteCount", source.byteCount, 0...Int.max)
            check.require(
                "sources.checksum", source.checksum.utf8.count == 16 && UInt64(source.checksum, radix: 16) != nil,
                "16 hexadecimal digits", "\(source.checksum.utf8.count) characters")
        }
        return check.problem
    }

    /// The place of the bracket that nests too deep, found without recursion.
    private static func tooDeep(_ bytes: ArraySlice<UInt8>) -> Int? {
        var depth = 0
        var inString = false
        var isEscaped = false
        for (place, byte) in bytes.enumerated() {
            if inString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth > ContainerFormat.metadataDepthLimit { return place }
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
        }
        return nil
    }
}

extension DecodingError {
    private var context: (path: [any CodingKey], reason: String) {
        switch self {
        case .typeMismatch(let type, let context): (context.codingPath, "not a \(type): \(context.debugDescription)")
        case .valueNotFound(_, let context): (context.codingPath, "null")
        case .keyNotFound(let key, let context): (context.codingPath + [key], "nothing")
        case .dataCorrupted(let context): (context.codingPath, context.debugDescription)
        @unknown default: ([], "\(self)")
        }
    }

    fileprivate var field: String {
        (["metadata"] + context.path.map { $0.intValue.map(String.init) ?? $0.stringValue }).joined(separator: ".")
    }

    /// Short and without control characters, because it may quote the file.
    fileprivate var reason: String {
        String(
            context.reason.unicodeScalars.prefix(200).map {
                $0.properties.generalCategory == .control ? " " : Character($0)
            })
    }
}

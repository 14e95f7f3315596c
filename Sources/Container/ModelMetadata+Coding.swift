internal import FoundationEssentials
internal import JSON

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
        do {
            self = try StrictJSON.decode(ModelMetadata.self, from: Array(bytes), limits: Self.limits)
        } catch {
            throw ContainerError(
                error.code == .tooLarge ? .tooLarge : .malformed, path: path,
                offset: offset + UInt64(error.offset ?? 0), field: error.path.map { "metadata.\($0)" } ?? "metadata",
                expected: error.expected ?? "JSON that describes a model", found: error.found ?? error.message)
        }
        if let problem { throw Self.failure(problem, path: path, offset: offset) }
    }

    private static let limits = JSONLimits(
        byteCount: ContainerFormat.metadataByteLimit, depth: ContainerFormat.metadataDepthLimit)

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
        for loss in losses ?? [] { loss.check(&check, layerCount: configuration.storedLayers.count) }
        for source in sources {
            check.label("sources.name", source.name, limit: 4096)
            check.range("sources.byteCount", source.byteCount, 0...Int.max)
            check.require(
                "sources.checksum", source.checksum.utf8.count == 16 && UInt64(source.checksum, radix: 16) != nil,
                "16 hexadecimal digits", "\(source.checksum.utf8.count) characters")
        }
        return check.problem
    }
}

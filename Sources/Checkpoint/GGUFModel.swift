/// A model in GGUF: one file, or the parts that it was split into.
struct GGUFModel: Sendable {
    struct Entry: Sendable {
        let file: GGUFFile
        let tensor: GGUFFile.Tensor
    }

    /// The first has the metadata.
    private(set) var files: [GGUFFile] = []
    private(set) var entries: [String: Entry] = [:]

    var path: String { files[0].path }
    var values: [String: GGUFValue] { files[0].values }

    /// - Parameter path: of the file, or of the first part.
    init(path: String) throws(CheckpointError) {
        let first = try GGUFFile(InputFile(path: path))
        let type = first.text("general.type") ?? "model"
        guard type == "model" else {
            throw CheckpointError(
                .unsupportedFamily, "a GGUF file that isn't a model", path: path, key: "general.type",
                expected: "\"model\"", found: "\"\(type.prefix(80))\"")
        }
        try add(first)
        let count = first.integer("split.count") ?? 1
        guard count > 1 else { return }
        for number in 1...count {
            if number > 1 { try add(try GGUFFile(InputFile(path: try Self.path(ofPart: number, count, first: path)))) }
            try check(files[number - 1], number, count)
        }
        guard first.integer("split.tensors.count") ?? entries.count == entries.count else {
            throw CheckpointError(
                .malformedIndex, "the parts have another number of tensors than they had when they were split",
                path: path, key: "split.tensors.count", expected: "\(first.integer("split.tensors.count") ?? 0)",
                found: "\(entries.count)", advice: "Do all the parts come from the same model?")
        }
    }

    private mutating func add(_ file: GGUFFile) throws(CheckpointError) {
        files.append(file)
        for tensor in file.tensors {
            if let other = entries.updateValue(Entry(file: file, tensor: tensor), forKey: tensor.name) {
                throw CheckpointError(
                    .malformedIndex, "this tensor is in two parts", path: file.path, offset: tensor.offset,
                    tensor: tensor.name, found: "one in \(other.file.path) too")
            }
        }
    }

    private func check(_ part: GGUFFile, _ number: Int, _ count: Int) throws(CheckpointError) {
        guard part.integer("split.no") == number - 1, part.integer("split.count") == count else {
            throw CheckpointError(
                .malformedIndex, "not the part that belongs here", path: part.path, key: "split.no",
                expected: "part \(number - 1) of \(count), counted from 0",
                found: "\(part.integer("split.no") ?? -1) of \(part.integer("split.count") ?? -1)",
                advice: "Give the first part's name; the others must stand beside it")
        }
    }

    /// `NAME-00002-of-00003.gguf` for `NAME-00001-of-00003.gguf`.
    private static func path(ofPart number: Int, _ count: Int, first: String) throws(CheckpointError) -> String {
        func suffix(_ number: Int) -> String {
            func digits(_ number: Int) -> String {
                String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)"
            }
            return "-\(digits(number))-of-\(digits(count)).gguf"
        }
        guard first.hasSuffix(suffix(1)) else {
            throw CheckpointError(
                .malformedIndex, "the first of \(count) parts, whose name doesn't tell the others'", path: first,
                expected: "a name that ends in \(suffix(1))", advice: "Rename the parts, or give the first one")
        }
        return String(first.dropLast(suffix(1).count)) + suffix(number)
    }
}

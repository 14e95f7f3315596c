import Checkpoint
import FoundationEssentials
import TestSupport

/// A fixture's copy that a test has changed: one safetensors file and its JSON files.
struct EditedCheckpoint {
    struct Tensor {
        var element: ElementType
        var shape: [Int]
        var bytes: [UInt8]
    }

    var configuration: String
    var tensors: [String: Tensor] = [:]
    /// More files, by name.
    var files: [String: String] = [:]

    init(_ fixture: String = "moonlight") throws {
        let directory = Fixtures.checkpoint(fixture)
        configuration = String(decoding: try Data(contentsOf: URL(filePath: "\(directory)/config.json")), as: UTF8.self)
        let file = try SafetensorsFile(path: "\(directory)/model.safetensors")
        for tensor in file.header.tensors {
            tensors[tensor.name] = Tensor(
                element: tensor.element, shape: tensor.shape,
                bytes: try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount))
        }
    }

    /// Replaces the only occurrence of `old` in `config.json`.
    mutating func replace(_ old: String, with new: String) {
        precondition(configuration.components(separatedBy: old).count == 2)
        configuration = configuration.components(separatedBy: old).joined(separator: new)
    }

    func write(to directory: TemporaryDirectory) throws {
        try Data(configuration.utf8).write(to: URL(filePath: "\(directory.path)/config.json"))
        for (name, text) in files {
            try Data(text.utf8).write(to: URL(filePath: "\(directory.path)/\(name)"))
        }
        var writer = SafetensorsWriter()
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            writer.add(name, tensor.element, shape: tensor.shape, bytes: tensor.bytes)
        }
        try writer.write(to: "\(directory.path)/model.safetensors")
    }

    func open() throws -> Checkpoint {
        let directory = try TemporaryDirectory()
        try write(to: directory)
        return try Checkpoint(directory: directory.path)
    }

    /// The error that opening gives; nil if it opens.
    func failure() throws -> CheckpointError? {
        do {
            _ = try open()
            return nil
        } catch let error as CheckpointError {
            return error
        }
    }
}

extension String {
    fileprivate func components(separatedBy separator: String) -> [String] {
        split(separator: separator, omittingEmptySubsequences: false).map(String.init)
    }
}

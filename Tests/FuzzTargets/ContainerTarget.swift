import Container
import ContainerFixtures
import TestSupport

/// A container that opens must be sound: each tensor and blob that passes its checksum is what was written.
struct ContainerTarget: FuzzTarget {
    let samples: [[UInt8]]
    let words = [
        #""configuration":"#, #""sparseLayers":[false,true]"#, #""layerCount":2"#, #""endTokens":[1]"#, "latent",
        "interleaved", "sigmoid", #""recipe":"#, #""sources":[]"#,
    ]
    private let image: ContainerImage
    private let tensors: [TensorKey: [UInt8]]
    private let experts: [ExpertKey: [UInt8]]
    private let file: FuzzedFile

    init() throws {
        let model = SmallModel()
        image = try ContainerImage(model)
        samples = [image.bytes]
        tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.key, model.bytes($0)) })
        experts = Dictionary(uniqueKeysWithValues: model.experts.map { ($0, model.bytes($0)) })
        file = try FuzzedFile()
    }

    /// Mostly in superblock, metadata and records, where there is something to misunderstand, and half of the time with
    /// the checksums made right again.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        var changed = image
        let records = image.recordsOffset..<sample.count
        switch mutator.pick(Array(0..<10)) {
        case 0: changed.bytes.replaceSubrange(..<64, with: mutator.overwrite(Array(sample[..<64])))
        case 1:
            let index = image.indexOffset..<image.recordsOffset
            changed.bytes.replaceSubrange(index, with: mutator.overwrite(Array(sample[index])))
        case 2..<5: changed.replaceMetadata(with: mutator.mutate(Array(image.metadata.utf8)))
        case 5..<8: changed.bytes.replaceSubrange(records, with: mutator.overwrite(Array(sample[records])))
        case 8: changed.bytes = mutator.overwrite(sample)
        default: changed.bytes = mutator.mutate(sample)
        }
        return mutator.chance(1, in: 2) ? sealed(changed.bytes) : changed.bytes
    }

    func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        ContainerImage.seal(&bytes)
        return bytes
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        try file.replace(with: bytes)
        let reader: ContainerReader
        do {
            reader = try ContainerReader(path: file.path)
        } catch {
            guard error.path == file.path, !error.field.isEmpty, !error.expected.isEmpty else {
                throw FuzzFailure("the error \(error) doesn't say where or what")
            }
            return false
        }
        for record in reader.tensors.values {
            guard let bytes = try? reader.bytes(record), bytes != tensors[record.key] else { continue }
            throw FuzzFailure("\(record.key) isn't what was written")
        }
        for record in reader.experts.values {
            guard let bytes = try? reader.bytes(record), bytes != experts[record.key] else { continue }
            throw FuzzFailure("\(record.key) isn't what was written")
        }
        return true
    }
}

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
    /// One a sample.
    private let images: [ContainerImage]
    private let tensors: [TensorKey: Set<[UInt8]>]
    private let experts: [ExpertKey: Set<[UInt8]>]
    private let refined: [ExpertKey: [UInt8]]
    private let file: FuzzedFile

    init() throws {
        let models = [SmallModel(), SmallModel.nested]
        images = try models.map { try ContainerImage($0) }
        samples = images.map(\.bytes)
        var tensors: [TensorKey: Set<[UInt8]>] = [:]
        var experts: [ExpertKey: Set<[UInt8]>] = [:]
        for model in models {
            for tensor in model.tensors { tensors[tensor.key, default: []].insert(model.bytes(tensor)) }
            for expert in model.experts { experts[expert, default: []].insert(model.bytes(expert)) }
        }
        self.tensors = tensors
        self.experts = experts
        file = try FuzzedFile()
        try file.replace(with: images[1].bytes)
        let reader = try ContainerReader(path: file.path)
        refined = Dictionary(
            uniqueKeysWithValues: try reader.sources(planes: .both).map { ($0.key, try reader.bytes($0)) })
    }

    /// Mostly in superblock, metadata and records, where there is something to misunderstand, and half of the time with
    /// the checksums made right again.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        let image = images.first { $0.bytes == sample } ?? images[0]
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
            guard let bytes = try? reader.bytes(record), tensors[record.key]?.contains(bytes) != true else { continue }
            throw FuzzFailure("\(record.key) isn't what was written")
        }
        for record in reader.experts.values {
            guard let bytes = try? reader.bytes(record), experts[record.key]?.contains(bytes) != true else { continue }
            throw FuzzFailure("\(record.key) isn't what was written")
        }
        for source in reader.sources(planes: .both) where source.refinement != nil {
            guard let bytes = try? reader.bytes(source), bytes != refined[source.key] else { continue }
            throw FuzzFailure("\(source.key) with its refinement isn't what was written")
        }
        return true
    }
}

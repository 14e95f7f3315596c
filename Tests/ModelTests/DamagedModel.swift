import Container
import FoundationEssentials
import Glibc
import Quantizer
import TestSupport
import Testing

/// A copy of the demonstration model in int4 whose experts can be damaged and mended in place.
struct DamagedModel {
    let path: String
    private let directory: TemporaryDirectory
    private let container: ContainerReader

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/damaged.moe"
        try FileManager.default.copyItem(atPath: TestContainers.path(.demo, .int4), toPath: path)
        container = try ContainerReader(path: path)
    }

    func experts(layer: Int) -> [ExpertKey] {
        container.experts.keys.filter { $0.layer == layer }.sorted { $0.expert < $1.expert }
    }

    /// Flips a bit in the middle of an expert; the same call mends it.
    func flip(_ key: ExpertKey) throws {
        let record = try #require(container.experts[key])
        let offset = off_t(record.offset) + off_t(record.storedByteCount / 2)
        let file = open(path, O_RDWR)
        try #require(file >= 0)
        defer { close(file) }
        var byte: UInt8 = 0
        try #require(pread(file, &byte, 1, offset) == 1)
        byte ^= 0x40
        try #require(pwrite(file, &byte, 1, offset) == 1)
    }
}

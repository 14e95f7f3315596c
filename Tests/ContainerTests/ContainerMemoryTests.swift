import Container
import ContainerFixtures
import Glibc
import TestSupport
import Testing

/// The memory that opening a file takes: at most 8 times its index plus 64 MiB.
@Suite struct ContainerMemoryTests {
    enum Shape: String, CaseIterable, Codable, Sendable {
        case manyExperts
        case manyLayers
        case arrayOfNumbers
        case nestedObjects
        case longText
        case claimsMuch
    }

    @Test(arguments: Shape.allCases) func openingIsBounded(shape: Shape) async throws {
        await #expect(processExitsWith: .success) { [shape] in
            let (file, indexByteCount, isSound) = try Self.file(shape)
            try Self.expectBoundedOpening(file.path, indexByteCount: indexByteCount, isSound: isSound)
        }
    }

    /// Address space is counted, because memory that is asked for but not touched can bring a daemon down as well.
    private static func expectBoundedOpening(_ path: String, indexByteCount: Int, isSound: Bool) throws {
        let small = try ScratchFile()
        try small.replace(with: ContainerImage(SmallModel()).bytes)
        _ = try ContainerReader(path: small.path)

        let before = try status("VmSize")
        let bound = 8 * indexByteCount + 64 << 20
        var limits = rlimit(rlim_cur: rlim_t(before + bound), rlim_max: rlim_t(before + bound))
        try #require(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limits) == 0)
        let reader = Result { try ContainerReader(path: path) }
        let peak = try status("VmPeak") - before
        #expect(peak <= bound)
        switch reader {
        case .success(let reader): #expect(isSound && reader.experts.count > 100_000)
        case .failure(let error): #expect(!isSound && error is ContainerError, "\(error)")
        }
    }

    private static func status(_ key: String) throws -> Int {
        let descriptor = open("/proc/self/status", O_RDONLY)
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = read(descriptor, &buffer, buffer.count)
        let line = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix(key) }
        return try #require(line?.split(separator: " ").compactMap { Int($0) }.first) * 1024
    }

    /// The file, its index's length, and whether it opens.
    private static func file(_ shape: Shape) throws -> (ScratchFile, Int, Bool) {
        let file = try ScratchFile()
        switch shape {
        case .manyExperts:
            // Just more than fill a hash table of a power of two.
            return (file, try large(layerCount: 5, expertCount: 65536, to: file), true)
        case .manyLayers:
            return (file, try large(layerCount: 14000, expertCount: 8, to: file), true)
        case .arrayOfNumbers:
            let numbers = String(repeating: "1,", count: 500_000)
            let json = try ContainerImage(SmallModel()).metadata
                .replacing(#""endTokens":["#, with: #""endTokens":[\#(numbers)"#)
            return (file, try metadata(json, in: file), false)
        case .nestedObjects:
            let object = String(repeating: #"{"":["#, count: 30) + String(repeating: "]}", count: 30)
            return (file, try metadata("[" + String(repeating: object + ",", count: 4800) + "1]", in: file), false)
        case .longText:
            let image = try ContainerImage(SmallModel())
            let text = String(repeating: #"\u0041"#, count: 170_000)
            return (file, try metadata(image.metadata.replacing("small", with: text), in: file), false)
        case .claimsMuch:
            var image = try ContainerImage(SmallModel())
            image[image.indexOffset + 32] = 1 << 22
            image[32] = 1 << 28
            image[16] = UInt64(image.indexOffset) + 1 << 28
            image.seal()
            try file.replace(with: image.bytes)
            return (file, image.bytes.count - image.indexOffset, false)
        }
    }

    private static func metadata(_ json: String, in file: ScratchFile) throws -> Int {
        var image = try ContainerImage(SmallModel())
        image.replaceMetadata(with: Array(json.utf8))
        image.seal()
        try file.replace(with: image.bytes)
        return image.bytes.count - image.indexOffset
    }

    /// A file with many records and holes for data.
    private static func large(layerCount: Int, expertCount: Int, to file: ScratchFile) throws -> Int {
        let model = SmallModel(layerCount: layerCount, expertCount: expertCount)
        let json = try ContainerImage(SmallModel()).metadata
            .replacing(#""layerCount":2"#, with: #""layerCount":\#(layerCount)"#)
            .replacing(#""routedExpertCount":3"#, with: #""routedExpertCount":\#(expertCount)"#)
            .replacing(
                "[false,true]",
                with: "[" + model.configuration.sparseLayers.map { "\($0)" }.joined(separator: ",") + "]")
        var table = RecordTable()
        for tensor in model.tensors { table.append(tensor, model.shape(tensor)) }
        for expert in model.experts { table.append(expert, model.layout.byteCount) }
        let index = table.index(metadata: Array(json.utf8))
        let offset = (table.end + 63) / 64 * 64

        try file.truncate(to: offset)
        try file.write(index[...], at: offset)
        var superblock = Array(try ContainerImage(SmallModel()).bytes[..<4096])
        func put(_ value: Int, _ place: Int) {
            for byte in 0..<8 { superblock[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte)) }
        }
        put(offset + index.count, 16)
        put(offset, 24)
        put(index.count, 32)
        put(Int(truncatingIfNeeded: XXH3.hash(index)), 40)
        put(Int(truncatingIfNeeded: XXH3.hash(Array(superblock[..<4088]))), 4088)
        try file.write(superblock[...], at: 0)
        return index.count
    }
}

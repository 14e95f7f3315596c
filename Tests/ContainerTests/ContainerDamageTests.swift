import Container
import ContainerFixtures
import Glibc
import TestSupport
import Testing

/// Damage that checksums and lengths give away.
@Suite struct ContainerDamageTests {
    let image: ContainerImage
    let file: ScratchFile

    init() throws {
        image = try ContainerImage(SmallModel())
        file = try ScratchFile()
        try file.replace(with: image.bytes)
    }

    /// The superblock's and the index's bytes.
    private var checkedPlaces: [Int] {
        Array(0..<ContainerImage.superblockByteCount) + Array(image.indexOffset..<image.bytes.count)
    }

    @Test func aFileCutAnywhereInSuperblockOrIndexIsRefused() throws {
        for byteCount in checkedPlaces.reversed() {
            try file.truncate(to: byteCount)
            let error = try #require(throws: ContainerError.self) { try ContainerReader(path: file.path) }
            #expect(error.code == .truncated)
            #expect(error.path == file.path)
            #expect(error.offset != nil)
        }
    }

    @Test func aFileWithBytesBehindTheIndexIsRefused() throws {
        try file.truncate(to: image.bytes.count + 1)
        let error = #expect(throws: ContainerError.self) { try ContainerReader(path: file.path) }
        #expect(error?.code == .truncated)
    }

    @Test func everyFlippedBitOfSuperblockOrIndexIsRefused() throws {
        for place in checkedPlaces {
            for bit in 0..<8 {
                try file.write([image.bytes[place] ^ 1 << UInt8(bit)], at: place)
                let error = try #require(throws: ContainerError.self, "bit \(bit) of byte \(place)") {
                    try ContainerReader(path: file.path)
                }
                #expect(error.code == (place < 8 ? .notContainer : .damaged))
            }
            try file.write(image.bytes[place...place], at: place)
        }
        _ = try ContainerReader(path: file.path)
    }

    @Test func anUnfinishedFileIsNamedSo() throws {
        try file.write([UInt8](repeating: 0, count: 4096)[...], at: 0)
        let error = #expect(throws: ContainerError.self) { try ContainerReader(path: file.path) }
        #expect(error?.code == .unfinished)
    }

    @Test func everyDamagedTensorIsFoundWhenItIsRead() throws {
        let reader = try ContainerReader(path: file.path)
        for record in reader.tensors.values {
            let place = Int(record.offset) + record.byteCount - 1
            try file.write([image.bytes[place] ^ 0x10], at: place)
            let error = #expect(throws: ContainerError.self) { try reader.bytes(record) }
            #expect(error?.code == .damaged)
            #expect(error?.offset == record.offset)
            #expect(error?.field == "\(record.key).checksum")
        }
    }

    @Test func aDamagedBlobIsNamedByLayerExpertAndOffset() throws {
        let reader = try ContainerReader(path: file.path)
        for record in reader.experts.values {
            let place = Int(record.offset) + record.storedByteCount / 2
            try file.write([image.bytes[place] ^ 0x01], at: place)
            let error = try #require(throws: ContainerError.self) { try reader.bytes(record) }
            #expect(error.code == .damaged)
            #expect(error.offset == record.offset)
            let expected = "layers.\(record.key.layer).experts.\(record.key.expert).checksum at byte \(record.offset)"
            #expect(error.description.contains(expected))
        }
        #expect(Set(reader.experts.values.map(\.codec)) == [.stored, .lz4])
    }

    @Test func aFileCutUnderTheReaderGivesErrors() throws {
        let reader = try ContainerReader(path: file.path)
        try file.truncate(to: 5000)
        for record in reader.tensors.values where record.offset > 5000 {
            let error = #expect(throws: ContainerError.self) { try reader.bytes(record) }
            #expect(error?.code == .truncated)
        }
        for record in reader.experts.values {
            let error = #expect(throws: ContainerError.self) { try reader.bytes(record, verify: false) }
            #expect(error?.code == .truncated)
        }
    }

    /// Whatever the bytes, unpacking stays inside its buffers and doesn't pass off something shorter as the blob.
    @Test(arguments: [0x00, 0x0F, 0xF0, 0xFF] as [UInt8])
    func anLZ4BlockThatIsNoneIsRefusedThoughItsChecksumIsRight(filler: UInt8) throws {
        var image = image
        let record = image.firstExpert + ContainerImage.recordByteCount
        let offset = Int(image[record + ContainerImage.Field.offset])
        let count = Int(image[record + ContainerImage.Field.storedByteCount])
        try #require(image.bytes[record + ContainerImage.Field.codec] == 1)
        for place in offset..<offset + count { image.bytes[place] = filler }
        image[record + ContainerImage.Field.checksum] = XXH3.hash(Array(image.bytes[offset..<offset + count]))
        image.seal()
        try file.replace(with: image.bytes)
        let reader = try ContainerReader(path: file.path)
        let blob = try #require(reader.experts[ExpertKey(layer: 1, expert: 1)])
        let error = #expect(throws: ContainerError.self) { try reader.bytes(blob) }
        #expect(error?.code == .damaged)
        #expect(error?.expected == "an LZ4 block of \(blob.byteCount) bytes")
    }

    @Test func whatIsNoFileIsRefusedWithoutWaiting() throws {
        let directory = try TemporaryDirectory()
        let pipe = "\(directory.path)/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        for (path, code) in [
            (pipe, .notContainer), (directory.path, .notContainer), ("\(directory.path)/none", .system),
            (Fixtures.root + "/Package.swift", .notContainer),
        ] as [(String, ContainerError.Code)] {
            let error = #expect(throws: ContainerError.self) { try ContainerReader(path: path) }
            #expect(error?.code == code)
            #expect(error?.path == path)
        }
    }
}

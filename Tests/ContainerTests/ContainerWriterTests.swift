import Container
import ContainerFixtures
import Glibc
import TestSupport
import Testing

@Suite struct ContainerWriterTests {
    let directory: TemporaryDirectory
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/model.moe"
    }

    private var partial: String { path + ".partial" }

    private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private func touch(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        try #require(descriptor >= 0)
        try #require(write(descriptor, "old", 3) == 3)
        close(descriptor)
    }

    @Test func theNameAppearsOnlyWhenEverythingIsThere() throws {
        let model = SmallModel()
        let writer = try ContainerWriter(path: path, replacing: false)
        try model.append(to: writer)
        #expect(!exists(path) && exists(partial))
        // What a killed writer leaves is recognised for what it is.
        let error = #expect(throws: ContainerError.self) { try ContainerReader(path: partial) }
        #expect(error?.code == .unfinished)
        try writer.finish(metadata: model.metadata, text: model.text)
        #expect(exists(path) && !exists(partial))
    }

    @Test func anAbandonedWriterLeavesNothing() throws {
        var writer: ContainerWriter? = try ContainerWriter(path: path, replacing: false)
        if let writer { try SmallModel().append(to: writer) }
        #expect(exists(partial))
        writer = nil
        #expect(!exists(path) && !exists(partial))
    }

    @Test func anExistingFileIsReplacedOnlyWhenAsked() throws {
        try touch(path)
        let error = #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: false) }
        #expect(error?.code == .exists)
        #expect(try ScratchFile.contents(of: path) == Array("old".utf8))
        try SmallModel().write(to: path, replacing: true)
        _ = try ContainerReader(path: path)
    }

    @Test func aFileThatAppearsMeanwhileIsKept() throws {
        let model = SmallModel()
        let writer = try ContainerWriter(path: path, replacing: false)
        try model.append(to: writer)
        try touch(path)
        let error = #expect(throws: ContainerError.self) {
            try writer.finish(metadata: model.metadata, text: model.text)
        }
        #expect(error?.code == .exists)
        #expect(try ScratchFile.contents(of: path) == Array("old".utf8))
        #expect(!exists(partial))
    }

    @Test func aDirectoryIsNeverReplaced() throws {
        try #require(mkdir(path, 0o700) == 0)
        let error = #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: true) }
        #expect(error?.code == .exists)
    }

    @Test func twoWritersOfOneNameDoNotMix() throws {
        let first = try ContainerWriter(path: path, replacing: false)
        let error = #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: false) }
        #expect(error?.code == .busy)
        let model = SmallModel()
        try model.append(to: first)
        try first.finish(metadata: model.metadata, text: model.text)
        _ = try ContainerReader(path: path)
    }

    @Test func theRestOfAKilledWriterIsOverwritten() throws {
        let model = SmallModel()
        try model.write(to: path + "2")
        let descriptor = open(partial, O_WRONLY | O_CREAT, 0o600)
        let garbage = [UInt8](repeating: 0xEE, count: 1 << 20)
        try #require(write(descriptor, garbage, garbage.count) == garbage.count)
        close(descriptor)
        try model.write(to: path)
        #expect(try ScratchFile.contents(of: path) == ScratchFile.contents(of: path + "2"))
    }

    @Test func aPlantedLinkIsNotFollowed() throws {
        let victim = "\(directory.path)/victim"
        try touch(victim)
        try #require(symlink(victim, partial) == 0)
        #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: false) }
        try #require(unlink(partial) == 0 && link(victim, partial) == 0)
        #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: false) }
        #expect(try ScratchFile.contents(of: victim) == Array("old".utf8))
    }

    @Test func aMissingDirectoryIsNamed() throws {
        let path = "\(directory.path)/none/model.moe"
        let error = #expect(throws: ContainerError.self) { try ContainerWriter(path: path, replacing: false) }
        #expect(error?.errno == ENOENT)
        #expect(error?.path == path + ".partial")
    }

    @Test func whatTheReaderWouldRefuseIsNotPublished() throws {
        var model = SmallModel()
        let writer = try ContainerWriter(path: path, replacing: false)
        try model.append(to: writer)
        model.configuration.layerCount = 3
        model.configuration.sparseLayers = [false, true, true]
        let error = #expect(throws: ContainerError.self) {
            try writer.finish(metadata: model.metadata, text: model.text)
        }
        #expect(error?.code == .missing)
        #expect(!exists(path) && !exists(partial))
        let closed = #expect(throws: ContainerError.self) {
            try writer.finish(metadata: SmallModel().metadata, text: model.text)
        }
        #expect(closed?.code == .closed)
    }

    @Test func wrongSizesAndRepetitionsAreRefused() throws {
        let model = SmallModel()
        let writer = try ContainerWriter(path: path, replacing: false)
        let tensor = model.tensors[0]
        let bytes = model.bytes(tensor)
        func append(_ bytes: [UInt8]) throws {
            try bytes.withUnsafeBytes { try writer.append(tensor: tensor.key, shape: model.shape(tensor), bytes: $0) }
        }
        #expect(throws: ContainerError.self) { try append(bytes.dropLast()) }
        try append(bytes)
        let error = #expect(throws: ContainerError.self) { try append(bytes) }
        #expect(error?.code == .duplicate)
    }

    /// A limit on the file's size stands for a full disk: write(2) first writes less than it was given, then fails.
    @Test(arguments: [4096, 5000, 30000, 60000])
    func aFullDiskLeavesNothing(limit: Int) async throws {
        await #expect(processExitsWith: .success) { [path = path as String, limit] in
            signal(SIGXFSZ, SIG_IGN)
            var limits = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limits) == 0)
            let error = #expect(throws: ContainerError.self) { try SmallModel().write(to: path) }
            #expect(error?.code == .system && error?.errno == EFBIG)
            #expect(access(path, F_OK) != 0 && access(path + ".partial", F_OK) != 0)
        }
    }

    @Test func packingElsewhereGivesTheSameFile() async throws {
        let model = SmallModel()
        try model.write(to: path)
        let writer = try ContainerWriter(path: path + "2", replacing: false)
        for tensor in model.tensors {
            try model.bytes(tensor).withUnsafeBytes {
                try writer.append(tensor: tensor.key, shape: model.shape(tensor), bytes: $0)
            }
        }
        let blobs = await withTaskGroup(of: (ExpertKey, PackedBlob).self) { group in
            for expert in model.experts {
                let bytes = model.bytes(expert)
                group.addTask { (expert, bytes.withUnsafeBytes { PackedBlob(packing: $0, .auto) }) }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        for expert in model.experts {
            let blob = try #require(blobs[expert])
            _ = try model.bytes(expert).withUnsafeBytes {
                try writer.append(expert: expert, layout: model.layout, bytes: $0, packed: blob)
            }
        }
        try writer.finish(metadata: model.metadata, text: model.text)
        #expect(try ScratchFile.contents(of: path) == ScratchFile.contents(of: path + "2"))
    }
}

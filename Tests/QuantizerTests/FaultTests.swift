import Container
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// What a conversion does when the system refuses, with the real program.
@Suite("moe-quantize convert on a failing machine")
struct FaultTests {
    private let source: TemporaryDirectory
    private let directory: TemporaryDirectory
    private var target: String { "\(directory.path)/model.moe" }

    init() throws {
        source = try TemporaryDirectory()
        directory = try TemporaryDirectory()
        try SyntheticCheckpoint(expertCount: 4).write(to: source.path)
    }

    private var files: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []).sorted()
    }

    private func convert(_ options: [String] = [], fault: String? = nil) throws -> Program.Outcome {
        let environment = try fault.map { try FaultInjection(fault: $0).environment() }
        return try Program.run(["convert", source.path, "-o", target] + options, environment: environment ?? [:])
    }

    struct Fault: Sendable, CustomTestStringConvertible {
        var kind: String
        var action: String
        /// For the person who reads the error.
        var hint: String
        var testDescription: String { "\(kind) \(action)" }

        static let all = [
            Fault(kind: "write", action: "\(ENOSPC)", hint: "Make room"),
            Fault(kind: "write", action: "\(EDQUOT)", hint: "Make room"),
            Fault(kind: "write", action: "\(EIO)", hint: "system's log"),
            Fault(kind: "read", action: "\(EIO)", hint: ""), Fault(kind: "read", action: "end", hint: ""),
            Fault(kind: "sync", action: "\(EIO)", hint: "system's log"),
            Fault(kind: "sync", action: "\(ENOSPC)", hint: "Make room"),
            Fault(kind: "truncate", action: "\(EIO)", hint: "system's log"),
            Fault(kind: "rename", action: "\(EIO)", hint: ""), Fault(kind: "rename", action: "\(ENOSPC)", hint: ""),
            Fault(kind: "open", action: "\(EMFILE)", hint: ""), Fault(kind: "open", action: "\(EIO)", hint: ""),
        ]
    }

    /// At every kind of call, at the first ones, the last ones, and some between: an error that says what to do, and the
    /// old file stays, and the conversion goes on once the machine is well.
    @Test(.timeLimit(.minutes(2)), arguments: Fault.all) func aRefusalIsNamedAndLosesNothing(fault: Fault) throws {
        #expect(try convert().code == 0)
        let whole = try ProgramTests.checksum(of: target)
        let old = Array("an old file".utf8)
        let counts = try FaultInjection.counts(of: ["convert", source.path, "-o", target, "--force"])
        let count = try #require(counts[fault.kind])
        let points = Set([1, 2, 3, count - 1, count] + (1..<6).map { $0 * count / 6 }).filter { (1...count) ~= $0 }
        for point in points.sorted() {
            try old.write(to: target)
            let outcome = try convert(["--force"], fault: "\(fault.kind):\(point)+:\(fault.action)")
            let place = "\(fault.kind) \(point) of \(count): \(outcome.error)"
            if outcome.code == 0 {
                // Whatever failed wasn't needed, such as tidying up.
                #expect(try ProgramTests.checksum(of: target) == whole, "\(place)")
            } else {
                #expect([65, 71, 73, 74].contains(outcome.code), "\(outcome.code) \(place)")
                #expect(outcome.error.contains("moe-quantize: error:"), "\(place)")
                #expect(outcome.error.contains(fault.hint), "\(place)")
                let isOld = try Array(Data(contentsOf: URL(filePath: target))) == old
                // The new file has its name once only the directory's own fsync is still to come.
                let isNew = try !isOld && ProgramTests.checksum(of: target) == whole
                #expect(isOld || isNew, "\(place)")
                let resumed = try convert(["--resume", "--force"])
                #expect(resumed.code == 0, "\(place)then \(resumed.error)")
                #expect(try ProgramTests.checksum(of: target) == whole, "\(place)")
            }
            if outcome.code != 0 || fault.kind != "rename" { #expect(files == ["model.moe"], "\(place)") }
            for leftover in [".partial", ".journal"] { unlink(target + leftover) }
        }
    }

    /// An interrupted call is made again, and half a transfer is completed.
    @Test(arguments: [
        ("read", "\(EINTR)"), ("write", "\(EINTR)"), ("open", "\(EINTR)"), ("truncate", "\(EINTR)"), ("read", "short"),
        ("write", "short"),
    ])
    func anInterruptionOrAShortTransferGoesUnnoticed(kind: String, action: String) throws {
        #expect(try convert().code == 0)
        let whole = try ProgramTests.checksum(of: target)
        let counts = try FaultInjection.counts(of: ["convert", source.path, "-o", target, "--force"])
        let count = try #require(counts[kind])
        for point in Set([1, 2, count / 3, count / 2, count]).filter({ $0 >= 1 }).sorted() {
            let outcome = try convert(["--force"], fault: "\(kind):\(point):\(action)")
            #expect(outcome.code == 0, "\(kind) \(point): \(outcome.error)")
            #expect(try ProgramTests.checksum(of: target) == whole, "\(kind) \(point)")
        }
    }

    /// What was written before a full disk is taken up after it, and only the rest is made.
    @Test func aFullDiskInTheMiddleKeepsWhatIsDone() throws {
        let counts = try FaultInjection.counts(of: ["convert", source.path, "-o", target, "--force"])
        let outcome = try convert(["--force"], fault: "write:\(try #require(counts["write"]) / 2)+:\(ENOSPC)")
        #expect(outcome.code == 74 && outcome.error.contains("--resume"))
        let refused = try convert([])
        #expect(refused.code == 73)
        try FileManager.default.removeItem(atPath: target)
        let again = try convert([])
        #expect(again.code == 73 && again.error.contains("--resume") && again.error.contains("--force"))
        let resumed = try convert(["--resume"])
        #expect(resumed.code == 0 && resumed.output.contains("were there already"), "\(resumed.error)")
    }

    struct Change: Sendable, CustomTestStringConvertible {
        var options: [String] = []
        var edit: (@Sendable (String) throws -> Void)?
        var named: String
        var testDescription: String { named }
    }

    @Test(arguments: [
        Change(options: ["--type", "int8"], named: "type"), Change(options: ["--pure"], named: "isPure"),
        Change(options: ["--pack", "never"], named: "packing"),
        Change(
            edit: { directory in
                let path = "\(directory)/model.safetensors"
                let descriptor = open(path, O_WRONLY)
                defer { close(descriptor) }
                var status = stat()
                try #require(stat(path, &status) == 0 && pwrite(descriptor, "x", 1, status.st_size - 2) == 1)
            }, named: "model.safetensors"),
        Change(
            edit: { directory in
                let path = "\(directory)/config.json"
                let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
                try Array(text.replacing("1e-6", with: "1e-5").utf8).write(to: path)
            }, named: "config.json"),
    ])
    func aChangedRecipeOrSourceIsNamedAndKeepsWhatIsDone(change: Change) throws {
        let counts = try FaultInjection.counts(of: ["convert", source.path, "-o", target])
        unlink(target)
        let killed = try convert(fault: "write:\(try #require(counts["write"]) / 2):kill")
        #expect(killed.code == 128 + Int(SIGKILL))
        try change.edit?(source.path)
        let before = try ProgramTests.checksum(of: target + ".partial")
        let refused = try convert(["--resume"] + change.options)
        #expect(refused.code == 65 && refused.error.contains(change.named), "\(refused.error)")
        #expect(files == ["model.moe.journal", "model.moe.partial"])
        #expect(try ProgramTests.checksum(of: target + ".partial") == before)
        #expect(try convert(["--force"] + change.options).code == 0 && files == ["model.moe"])
    }

    /// What a crash of the machine may leave: a journal that says more than the disk holds.
    @Test(arguments: [1, 5, 20]) func whatTheDiskLostIsMadeAgain(lost: Int) throws {
        #expect(try convert().code == 0)
        let whole = try ProgramTests.checksum(of: target)
        let counts = try FaultInjection.counts(of: ["convert", source.path, "-o", target, "--force"])
        unlink(target)
        _ = try convert(fault: "write:\(try #require(counts["write"]) - 10):kill")
        let partial = target + ".partial"
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: partial)))
        // Zeros where the last arrays were: pages that never reached the disk.
        let start = bytes.count - bytes.count * lost / 25
        for place in start..<bytes.count { bytes[place] = 0 }
        try bytes.write(to: partial)
        let resumed = try convert(["--resume"])
        #expect(resumed.code == 0, "\(resumed.error)")
        #expect(try ProgramTests.checksum(of: target) == whole)
    }
}

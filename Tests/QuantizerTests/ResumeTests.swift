import Container
import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// What a killed conversion leaves, and going on with it.
@Suite("moe-quantize convert --resume")
struct ResumeTests {
    private let source: TemporaryDirectory
    private let directory: TemporaryDirectory
    private var target: String { "\(directory.path)/model.moe" }

    init() throws {
        source = try TemporaryDirectory()
        directory = try TemporaryDirectory()
        try SyntheticCheckpoint(layerCount: 4, expertCount: 16).write(to: source.path)
    }

    private var files: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []).sorted()
    }

    private func convert(_ options: String..., fault: String? = nil) throws -> Program.Outcome {
        let environment = try fault.map { try FaultInjection(fault: $0).environment() }
        return try Program.run(["convert", source.path, "-o", target] + options, environment: environment ?? [:])
    }

    /// The file of a conversion that nothing disturbs, which then is gone again.
    private func undisturbed() throws -> (checksum: UInt64, ends: [UInt64]) {
        #expect(try convert().code == 0)
        defer { try? FileManager.default.removeItem(atPath: target) }
        let reader = try ContainerReader(path: target)
        let ends =
            reader.tensors.values.map { $0.offset + UInt64($0.byteCount) }
            + reader.experts.values.map { $0.offset + UInt64($0.storedByteCount) }
        return (try ProgramTests.checksum(of: target), ends.sorted())
    }

    private var partialByteCount: UInt64 {
        var status = stat()
        return stat(target + ".partial", &status) == 0 ? UInt64(status.st_size) : 0
    }

    /// One of 220 calls to the system, spread over the whole run, is the process's last one. Every second of the kills
    /// comes in the middle of a transfer, or just after another call.
    @Test(.timeLimit(.minutes(2)), arguments: 0..<4)
    func killedAnywhereItGoesOnToTheSameFile(part: Int) throws {
        let (checksum, ends) = try undisturbed()
        let arguments = ["convert", source.path, "-o", target]
        let counts = try FaultInjection.counts(of: arguments)
        try FileManager.default.removeItem(atPath: target)
        let total = try #require(counts["any"])
        #expect(total >= 220)
        var killed = 0
        for point in 0..<55 {
            let number = 1 + (point * 4 + part) * total / 220
            let outcome = try convert(fault: "any:\(number):\(point % 2 == 0 ? "kill" : "tear")")
            #expect(outcome.code == 128 + Int(SIGKILL))
            killed += 1
            if !exists(target) {
                let finished = ends.count { $0 <= partialByteCount }
                let resumed = try convert("--resume")
                #expect(resumed.code == 0, "after call \(number): \(resumed.error)")
                #expect(Self.resumedCount(resumed.output) >= finished - 1, "after call \(number)")
            } else if files != ["model.moe"] {
                let resumed = try convert("--resume")
                #expect(resumed.code == 0 && resumed.output.contains("finished already"), "after call \(number)")
            }
            #expect(try ProgramTests.checksum(of: target) == checksum, "after call \(number)")
            #expect(files == ["model.moe"], "after call \(number)")
            try FileManager.default.removeItem(atPath: target)
        }
        #expect(killed == 55)
    }

    /// `resumed  12 of 90 tensors and experts were there already`
    private static func resumedCount(_ output: String) -> Int {
        let line = output.split(separator: "\n").first { $0.contains("were there already") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }
}

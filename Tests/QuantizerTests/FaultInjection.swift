import FoundationEssentials
import Glibc
import TestSupport

/// The library of `Tests/FaultInjection`, compiled once and given to a program that runs in a test.
struct FaultInjection {
    /// What happens to which call, as `fault_injection.c` says.
    var fault: String?
    /// Only files whose path contains this count: what tests make.
    var path = "/moed-test-"

    private static let library: Result<(directory: TemporaryDirectory, path: String), any Error> = Result {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/fault_injection.so"
        let source = "\(Fixtures.root)/Tests/FaultInjection/fault_injection.c"
        let words = ["cc", "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        var failure = posix_spawnp(&process, "cc", nil, nil, arguments, environ)
        if failure != 0 { failure = posix_spawnp(&process, "clang", nil, nil, arguments, environ) }
        guard failure == 0 else { throw SystemCallFailure(call: "posix_spawnp cc", code: failure) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else { throw SystemCallFailure(call: "cc \(source)", code: status) }
        return (directory, path)
    }

    func environment(report: String? = nil) throws -> [String: String] {
        var variables = ["LD_PRELOAD": try Self.library.get().path, "FAULT_PATH": path]
        variables["FAULT"] = fault
        variables["FAULT_REPORT"] = report
        return variables
    }

    /// How many calls of each kind the program makes when nothing fails.
    static func counts(of arguments: [String]) throws -> [String: Int] {
        let scratch = try TemporaryDirectory()
        let report = "\(scratch.path)/report"
        let outcome = try Program.run(
            arguments, environment: try FaultInjection().environment(report: report))
        guard outcome.code == 0 else { throw SystemCallFailure(call: outcome.error, code: Int32(outcome.code)) }
        let lines = String(decoding: try Data(contentsOf: URL(filePath: report)), as: UTF8.self).split(separator: "\n")
        return Dictionary(
            uniqueKeysWithValues: lines.map { line in
                let words = line.split(separator: " ")
                return (String(words[0]), Int(words[1]) ?? 0)
            })
    }
}

import FoundationEssentials
import Glibc
import TestSupport

/// The library of `Tests/FaultInjection`, compiled once and given to a program that runs in a test.
struct FaultInjection {
    /// What happens to which call, as `fault_injection.c` says.
    var fault: String?
    /// Only files whose path contains this count: what tests make.
    var path = "/moed-test-"

    func environment(report: String? = nil) throws -> [String: String] {
        var variables = ["LD_PRELOAD": try FaultLibrary.path(), "FAULT_PATH": path]
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

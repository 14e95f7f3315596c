import FoundationEssentials
import Glibc
import TestSupport

/// The built `moe-quantize`, run as a person runs it.
struct Program {
    struct Outcome {
        /// As a shell shows it: 128 and the signal's number for one that a signal ended.
        var code: Int
        var output: String
        var error: String
        var greatestResidentByteCount: Int
    }

    /// Beside the test runner.
    static let path: String = {
        let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return runner.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/moe-quantize"
    }()

    /// - Parameters:
    ///   - environment: added to this process's.
    ///   - signal: sent when `isReady` first holds; the program must still run then.
    static func run(
        _ arguments: [String], environment: [String: String] = [:], signal: Int32? = nil,
        when isReady: () -> Bool = { true }
    ) throws -> Outcome {
        let scratch = try TemporaryDirectory()
        let output = "\(scratch.path)/output"
        let error = "\(scratch.path)/error"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (descriptor, path) in [(STDOUT_FILENO, output), (STDERR_FILENO, error)] {
            posix_spawn_file_actions_addopen(&actions, descriptor, path, O_WRONLY | O_CREAT, 0o600)
        }
        var process = pid_t()
        let pointers = ([path] + arguments).map { strdup($0) }
        let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let variables = all.map { strdup("\($0.key)=\($0.value)") }
        defer { for pointer in pointers + variables { free(pointer) } }
        let code = posix_spawn(&process, path, &actions, nil, pointers + [nil], variables + [nil])
        guard code == 0 else { throw SystemCallFailure(call: "posix_spawn \(path)", code: code) }
        if let signal {
            while !isReady(), kill(process, 0) == 0 { usleep(1000) }
            kill(process, signal)
        }
        var status: Int32 = 0
        var greatest = 0
        while true {
            let result = waitpid(process, &status, WNOHANG)
            if result == process { break }
            guard result == 0 || errno == EINTR else { throw SystemCallFailure(call: "waitpid", code: errno) }
            greatest = max(greatest, greatestResidentByteCount(of: process))
            usleep(2000)
        }
        func text(_ path: String) throws -> String {
            String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        }
        return Outcome(
            code: Int(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F), output: try text(output),
            error: try text(error), greatestResidentByteCount: greatest)
    }

    /// `VmHWM` of the process so far; 0 once it is gone. `ru_maxrss` won't do: it counts what this process had when it
    /// started the other.
    private static func greatestResidentByteCount(of process: pid_t) -> Int {
        guard let status = try? Data(contentsOf: URL(filePath: "/proc/\(process)/status")) else { return 0 }
        for line in String(decoding: status, as: UTF8.self).split(separator: "\n") where line.hasPrefix("VmHWM:") {
            return line.split(separator: " ").compactMap { Int($0) }.first.map { $0 * 1024 } ?? 0
        }
        return 0
    }
}

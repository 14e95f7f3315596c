import FoundationEssentials
import Glibc
import TestSupport

/// The built `moe-quantize`, run as a person runs it.
enum Program {
    struct Outcome {
        var code: Int
        var output: String
        var error: String
    }

    static func run(_ arguments: [String]) throws -> Outcome {
        let scratch = try TemporaryDirectory()
        let (output, error) = ("\(scratch.path)/output", "\(scratch.path)/error")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (descriptor, path) in [(STDOUT_FILENO, output), (STDERR_FILENO, error)] {
            posix_spawn_file_actions_addopen(&actions, descriptor, path, O_WRONLY | O_CREAT, 0o600)
        }
        let path = BuiltProducts.path("moe-quantize")
        var process = pid_t()
        let pointers = ([path] + arguments).map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        let code = posix_spawn(&process, path, &actions, nil, pointers + [nil], environ)
        guard code == 0 else { throw SystemCallFailure(call: "posix_spawn \(path)", code: code) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            guard errno == EINTR else { throw SystemCallFailure(call: "waitpid", code: errno) }
        }
        func text(_ path: String) throws -> String {
            String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
        }
        return Outcome(
            code: Int(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F), output: try text(output),
            error: try text(error))
    }
}

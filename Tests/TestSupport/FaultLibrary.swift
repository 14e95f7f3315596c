import Glibc

/// The library of `Tests/FaultInjection`, compiled once a process, for programs that run in tests (`LD_PRELOAD`).
package enum FaultLibrary {
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

    package static func path() throws -> String { try library.get().path }
}

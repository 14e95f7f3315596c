import Glibc

/// The executables that were built together with the tests.
package enum BuiltProducts {
    /// Where an executable such as `moed` is: beside the test runner itself.
    package static func path(_ name: String) -> String { "\(directory)/\(name)" }

    private static let directory: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        let runner = String(decoding: buffer.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return runner.lastIndex(of: "/").map { String(runner[..<$0]) } ?? "."
    }()
}

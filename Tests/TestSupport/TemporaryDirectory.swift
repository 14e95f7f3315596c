import FoundationEssentials
import Glibc

/// A directory that is removed with everything in it when its owner lets go of it.
package final class TemporaryDirectory: Sendable {
    package let path: String

    /// Throws the `errno` of `mkdtemp`.
    package init() throws {
        var template = Array("/tmp/moed-test-XXXXXX".utf8CString)
        let created = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        guard let created else { throw SystemCallFailure(call: "mkdtemp", code: errno) }
        path = created
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

package struct SystemCallFailure: Error {
    package let call: String
    package let code: Int32

    package init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }
}

import FoundationEssentials
import TestSupport

/// A copy of the demonstration model that may be damaged.
final class DemoCopy: Sendable {
    let path: String
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        path = "\(directory.path)/copy.moe"
        try FileManager.default.copyItem(atPath: DemoContainer.path(), toPath: path)
    }

    func chatBody(_ fields: String) -> String {
        TestDaemon.chatBody(fields).replacing(#""model":"demo""#, with: #""model":"copy""#)
    }
}

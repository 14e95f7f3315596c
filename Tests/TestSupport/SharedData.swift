import Glibc

/// Third-party data that stands beside a developer's checkout and isn't part of it. A test that needs it is skipped,
/// and says so, where it is missing:
///
///     @Test(.enabled(if: SharedData.exists, SharedData.reason))
package enum SharedData {
    package static let directory = "\(Fixtures.root)/../shared"

    package static var exists: Bool { access("\(directory)/data", R_OK) == 0 }

    package static let reason = "the third-party data beside the checkout (../shared) isn't here"
}

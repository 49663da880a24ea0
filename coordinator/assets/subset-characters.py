"""Prints the characters of NotoSansSC-subset.otf, one code point a line."""

keep = set(range(0x20, 0x7F)) | set(range(0xA0, 0x100)) | set(range(0x3000, 0x3040)) | set(range(0xFF01, 0xFF5F))
keep |= {ord(c) for c in "–—‘’“”…•·†‡‰′″€←↑→↓≈≠≤≥−×÷σμΔΩ□■●○△▲◆◇★☆√∞"}
# GB 2312 level 1: rows 16 to 55, the 3,755 common characters.
for row in range(0xB0, 0xD8):
    for cell in range(0xA1, 0xFF):
        try:
            keep.add(ord(bytes([row, cell]).decode("gb2312")))
        except UnicodeDecodeError:
            pass
print("\n".join(f"U+{c:04X}" for c in sorted(keep)))

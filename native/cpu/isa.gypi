# The kernels of one instruction set as a static library. The including target sets `isa`.
{
  'type': 'static_library',
  'sources': ['<!@(node native/sources.js kernels <(isa))'],
  'include_dirs': ['../include', '<!(node native/sources.js table)'],
  'defines': ['GP_ISA=<(isa)'],
  'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-omit-frame-pointer'],
  'cflags!': ['-fno-omit-frame-pointer'],
  'cflags_cc': ['<!@(node native/sources.js flags <(isa) <(target_arch))', '<@(warnings)'],
  'xcode_settings': {
    'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
    'MACOSX_DEPLOYMENT_TARGET': '11.0',
    'OTHER_CPLUSPLUSFLAGS': ['<!@(node native/sources.js flags <(isa) <(target_arch))'],
  },
}

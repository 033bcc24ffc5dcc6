# Builds the addon (core and CPU backend, the kernels once per instruction set) and the test backend.
# Names no source file: they stand in native/sources.json, the kernels' flags in native/cpu/isa.json.
{
  'variables': {
    'warnings': ['<!@(node native/sources.js warnings)'],
  },
  'target_defaults': {
    'cflags!': ['-Wno-unused-parameter'],
  },
  'targets': [
    {
      'target_name': 'cpu_base',
      'variables': { 'isa': 'base' },
      'includes': ['native/cpu/isa.gypi'],
    },
    {
      'target_name': 'gradproof',
      'dependencies': ['cpu_base'],
      'sources': ['<!@(node native/sources.js core cpu)'],
      'include_dirs': [
        'native/include',
        '<!(node native/sources.js table)',
        '<!(node -p "require(\'node-addon-api\').include_dir")',
      ],
      'defines': [
        'NAPI_VERSION=8',
        'NAPI_CPP_EXCEPTIONS',
        'GP_VERSION="<!(node native/sources.js version)"',
      ],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-exceptions', '-fno-rtti'],
      'cflags_cc': [
        '-std=c++20',
        '-fexceptions',
        '-ffp-contract=off',
        '-fvisibility=hidden',
        '-fno-semantic-interposition',
        '<@(warnings)',
      ],
      'xcode_settings': {
        'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
        'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
        'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
        'MACOSX_DEPLOYMENT_TARGET': '11.0',
      },
      'conditions': [
        ['OS == "linux"', {
          'ldflags': ['-Wl,--version-script=<(module_root_dir)/native/core/exports.map'],
          'libraries': ['-ldl', '-lpthread'],
        }],
        ['target_arch == "x64"', { 'dependencies': ['cpu_avx2', 'cpu_avx512'] }],
      ],
    },
  ],
  'conditions': [
    ['"<!(node native/sources.js count fake)" != "0"', {
      'targets': [
        {
          'target_name': 'backend_fake',
          'type': 'shared_library',
          'product_dir': '<(module_root_dir)/build/backends',
          'product_extension': 'so',
          'sources': ['<!@(node native/sources.js fake)'],
          'include_dirs': ['native/include'],
          'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
          'cflags_cc': ['-std=c++20', '-fvisibility=hidden', '<@(warnings)'],
          'conditions': [
            ['OS == "linux"', {
              'ldflags': ['-Wl,--version-script=<(module_root_dir)/native/include/backend.map'],
              'libraries': ['-lpthread'],
            }],
          ],
          'xcode_settings': { 'CLANG_CXX_LANGUAGE_STANDARD': 'c++20', 'MACOSX_DEPLOYMENT_TARGET': '11.0' },
        },
      ],
    }],
    ['target_arch == "x64"', {
      'targets': [
        {
          'target_name': 'cpu_avx2',
          'variables': { 'isa': 'avx2' },
          'includes': ['native/cpu/isa.gypi'],
        },
        {
          'target_name': 'cpu_avx512',
          'variables': { 'isa': 'avx512' },
          'includes': ['native/cpu/isa.gypi'],
        },
      ],
    }],
  ],
}
